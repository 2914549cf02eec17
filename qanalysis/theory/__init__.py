"""What error must a quantizer have, and what is the least it could have? Lines over bits; beside them, in files of
their own, predictions for schemes (`predictions`) and the limits of a tensor's own values (`limits`).
"""

from qanalysis.decibels import DB_PER_BIT, SINE_DB, enob
from qanalysis.theory.distributions import (
    DISTRIBUTIONS,
    GAUSSIAN,
    LAPLACE,
    UNIFORM,
    Distribution,
)
from qanalysis.theory.lines import (
    ENTROPY_CODED_GAP,
    BestScalar,
    absmax_group_sqnr_db,
    absmax_groups_sqnr_db,
    best_scalar_sqnr_db,
    binary_sqnr_db,
    expected_max_square,
    loaded_gaussian_sqnr_db,
    panter_dite_db,
    shannon_db,
    sine_sqnr_db,
    uniform_sqnr_db,
)
from qanalysis.theory.optimal_grids import (
    LloydMax,
    UniformGrid,
    grid_mse,
    lloyd_max,
    optimal_symmetric,
    optimal_uniform,
)

__all__ = [
    "DB_PER_BIT",
    "DISTRIBUTIONS",
    "ENTROPY_CODED_GAP",
    "GAUSSIAN",
    "LAPLACE",
    "SINE_DB",
    "UNIFORM",
    "BestScalar",
    "Distribution",
    "LloydMax",
    "UniformGrid",
    "absmax_group_sqnr_db",
    "absmax_groups_sqnr_db",
    "best_scalar_sqnr_db",
    "binary_sqnr_db",
    "enob",
    "expected_max_square",
    "grid_mse",
    "lloyd_max",
    "loaded_gaussian_sqnr_db",
    "optimal_symmetric",
    "optimal_uniform",
    "panter_dite_db",
    "shannon_db",
    "sine_sqnr_db",
    "uniform_sqnr_db",
]
