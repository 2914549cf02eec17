"""Results for people: one page of sections, one printer for the terminal, files of every kind and back."""

from qanalysis.reports.report import read_result, read_rows, write_report
from qanalysis.reports.summary import choose_scheme, find_outlier, find_worst_channel, headline, select_worst
from qanalysis.results.document import SCHEMA_VERSION, to_json
from qanalysis.results.files import check_targets

__all__ = [
    "SCHEMA_VERSION",
    "check_targets",
    "choose_scheme",
    "find_outlier",
    "find_worst_channel",
    "headline",
    "read_result",
    "read_rows",
    "select_worst",
    "to_json",
    "write_report",
]
