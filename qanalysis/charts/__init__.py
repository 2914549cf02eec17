"""Pure functions from rows and profiles to plotly figures, in a light and a dark theme; the only place that imports
plotly.

Every figure carries its headline in the title and one sentence for those who can not see it in
`figure.layout.meta["alt"]`.
"""

from qanalysis.charts.channel_charts import channel_errors
from qanalysis.charts.curves import error_curves
from qanalysis.charts.format_levels import format_levels
from qanalysis.charts.heat_map import heat_map
from qanalysis.charts.layer_charts import error_histogram, weight_histogram
from qanalysis.charts.palette import PALETTES, Theme
from qanalysis.charts.scrub import scrub

__all__ = [
    "PALETTES",
    "Theme",
    "channel_errors",
    "error_curves",
    "error_histogram",
    "format_levels",
    "heat_map",
    "scrub",
    "weight_histogram",
]
