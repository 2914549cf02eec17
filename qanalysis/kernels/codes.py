"""Which numbers do Python and the compiled loops agree on? Kinds, modes, and what stands at which place of an array.

Loops take these as constants when they are compiled, and their cache knows a loop by its own file alone: after an edit
here, the files that use it must be touched. This file loads nothing, so that values which only name a number stay
light.
"""

#: Roundings by number, in the words of a scheme.
ROUNDINGS = ("nearest-even", "nearest-away", "half-up", "floor", "ceil", "to-zero", "stochastic")
NEAREST_EVEN, NEAREST_AWAY, HALF_UP, FLOOR, CEIL, TO_ZERO, STOCHASTIC = range(7)

#: Sorts of coders.
INTEGER, BIASED, FLOAT, TABLE, SIGN = range(5)

#: Places in a coder's parameters: its ends (or edges), then what its kind needs; a table's thresholds, then its
#: numbers.
LOW, HIGH = range(2)
BIAS = 2
MANTISSA_BITS, LEAST_EXPONENT = 2, 3
MOST_THRESHOLDS = 15
FIRST_THRESHOLD = 2
FIRST_NUMBER = FIRST_THRESHOLD + MOST_THRESHOLDS
MOST_PARAMETERS = FIRST_NUMBER + MOST_THRESHOLDS + 1

#: Places in the parts of a coded grid, arrays (groups,).
SCALE, INVERSE, PER_STEP, STEP, CENTRE_BEFORE, CENTRE_AFTER = range(6)
PARTS = 6

#: Places in a grid's geometry: how its blocks lie on the chunk, where its groups begin, how it rounds, whether float32
#: lanes serve it.
COLUMNS, BLOCK_ROWS, BLOCK_COLUMNS, FIRST, MODE, SEED, TAME = range(7)
#: Then, of uniform grids, where its end codes begin and how far apart they stand; of coded ones the coder's kind.
FIRST_END, END_STRIDE = 7, 8
KIND = 7
GEOMETRY = 9

#: A chunk's own sums, and its sums under a grid, by the names that `sums.ErrorStats` gives them.
MOMENTS = ("sum_x", "sum_x2", "relative_count")
SUM_X, SUM_X2, NONZERO = range(3)
SUMS = (
    "sum_e",
    "sum_e2",
    "sum_abs_e",
    "sum_relative",
    "sum_e2_in_steps",
    "sum_xe",
    "clipped_e2",
    "clipped",
    "zeroed",
    "max_abs_e",
)
SUM_E, SUM_E2, SUM_ABS_E, SUM_RELATIVE, SUM_E2_IN_STEPS, SUM_XE, CLIPPED_E2, CLIPPED, ZEROED, MAX_ABS_E = range(10)
