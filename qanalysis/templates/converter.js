(async () => {
  "use strict";
  const inflate = async (id) => {
    const text = atob(document.getElementById(id).textContent.trim());
    const bytes = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Response(stream).text();
  };
  const script = document.createElement("script");
  script.textContent = await inflate("packed-plotly");
  document.head.append(script);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const config = { displaylogo: false, showSendToCloud: false, responsive: true, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  const draw = async () => {
    for (const place of document.querySelectorAll(".plot")) {
      const figure = JSON.parse(await inflate(place.id + (dark.matches ? "-dark" : "-light")));
      const layout = { ...figure.layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true };
      delete layout.width;
      await Plotly.newPlot(place, { data: figure.data, layout, frames: figure.frames, config });
    }
  };
  await draw();
  dark.addEventListener("change", draw);
  document.documentElement.dataset.ready = "yes";
})().catch((error) => {
  const place = document.getElementById("trouble");
  place.textContent = "The charts need a browser of 2023 or later (" + error.message + "). The figures stand without them.";
  place.hidden = false;
});
