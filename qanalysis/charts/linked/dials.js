// Which part of a scene do its continuous controls ask for? A dial holds a value on a fine lattice; the values of all
// dials make one whole number, which is the part's place on the server.

const latticeOf = (dial, value) => Math.round((value - dial.min) / dial.grain);

const placesOf = (dial) => latticeOf(dial, dial.max) + 1;

// Steps that the dial's slider has, and the value at one of them.
export const countSteps = (dial) => Math.round((dial.max - dial.min) / dial.step) + 1;

export const readDial = (dial, place) => Number((dial.min + place * dial.step).toFixed(dial.digits));

export const placeDial = (dial, value) =>
  Math.min(Math.max(Math.round((value - dial.min) / dial.step), 0), countSteps(dial) - 1);

// The place of a part among all that the dials can ask for; the last dial runs fastest.
export const indexDials = (dials, at) =>
  dials.reduce((index, dial) => index * placesOf(dial) + latticeOf(dial, at[dial.name] ?? dial.min), 0);

// The values one step of each dial away from where they stand.
export const listBeside = (dials, at) => dials.flatMap((dial) => {
  const moved = [1, -1].map((by) => Number((at[dial.name] + by * dial.step).toFixed(dial.digits)));
  const within = moved.filter((value) => value >= dial.min && value <= dial.max);
  return within.map((value) => ({ ...at, [dial.name]: value }));
});
