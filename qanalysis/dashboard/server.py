"""How does a browser reach a page by its own address? Streamlit's frame is told where the server lives before it
looks for it.

Streamlit takes the path of a page for the place of its server first, and complains on the console when nobody answers
there.
"""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route
from streamlit.file_util import get_static_dir

from qanalysis.dashboard.linked import list_linked_routes
from qanalysis.dashboard.main import PAGES

_TOLD = "<head><script>window.__streamlit = {BACKEND_BASE_URL: new URL('.', window.location.href).href}</script>"


def list_routes() -> list[Route]:
    """One route for each page: the frame itself, or for the page that opens the way to the root; and what the linked
    charts fetch.

    For `streamlit.App(routes=...)`; they go before streamlit's own, which answer everything else.
    """
    opening, *others = PAGES
    pages = [Route(f"/{opening.path}", _lead_to_root), *(Route(f"/{page.path}", _serve_frame) for page in others)]
    return [*pages, *list_linked_routes()]


def _serve_frame(_request: Request) -> Response:
    """Streamlit's page with one line more at its head: the server is where the page's folder is. Never cached."""
    frame = Path(get_static_dir(), "index.html").read_text(encoding="utf-8")
    return HTMLResponse(frame.replace("<head>", _TOLD, 1), headers={"Cache-Control": "no-cache"})


def _lead_to_root(request: Request) -> Response:
    """The page that opens lives at the root: the browser is sent there with its parameters."""
    return RedirectResponse(f".?{request.url.query}".rstrip("?"))
