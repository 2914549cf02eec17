"""Taking results away: rows as CSV, JSON, Parquet and one offline HTML file, and back from the first three."""

from qanalysis.reports.files import check_targets, read_rows, write_report
from qanalysis.reports.summary import choose_scheme, find_outlier, find_worst_channel, headline, select_worst
from qanalysis.results.document import SCHEMA_VERSION, to_json

__all__ = [
    "SCHEMA_VERSION",
    "check_targets",
    "choose_scheme",
    "find_outlier",
    "find_worst_channel",
    "headline",
    "read_rows",
    "select_worst",
    "to_json",
    "write_report",
]
