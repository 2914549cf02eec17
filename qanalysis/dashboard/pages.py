"""What is a page to the frame around it? One value, which the page's own folder states as `PAGE`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from qanalysis.dashboard.views import V


@dataclass(frozen=True, slots=True)
class Page(Generic[V]):
    """A page of the dashboard.

    Parameters
    ----------
    title : its name in the list of pages and on the browser's tab.
    icon : its icon there, as streamlit names it, ":material/NAME:".
    path : the last part of its address, without a slash; the first page is reached by the bare address too.
    view : the class of what it looks at; its fields are the words of the address.
    draw : draws the page for such a view, which is possible in every field, widgets and all.
    """

    title: str
    icon: str
    path: str
    view: type[V]
    draw: Callable[[V], None]
