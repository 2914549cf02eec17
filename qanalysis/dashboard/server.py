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

from qanalysis.dashboard.main import PAGES

_TOLD = "<head><script>window.__streamlit = {BACKEND_BASE_URL: new URL('.', window.location.href).href}</script>"


def list_routes() -> list[Route]:
    """One route for each page: the frame itself, or for the page that opens the way to the root."""
    opening, *others = PAGES
    return [Route(f"/{opening.path}", _lead_to_root), *(Route(f"/{page.path}", _serve_frame) for page in others)]


def _serve_frame(_request: Request) -> Response:
    frame = Path(get_static_dir(), "index.html").read_text(encoding="utf-8")
    return HTMLResponse(frame.replace("<head>", _TOLD, 1), headers={"Cache-Control": "no-cache"})


def _lead_to_root(request: Request) -> Response:
    return RedirectResponse(f".?{request.url.query}".rstrip("?"))
