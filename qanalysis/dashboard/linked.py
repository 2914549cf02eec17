"""How do charts that move in the browser reach a page? Their parts are fetched by HTTP, and one component draws them.

What the component is told stays small: the address of the scene and where it stands. A part's address says what it
holds, so that a browser keeps it, and it can not be guessed. Parts are kept for all sessions, up to a number of bytes.
"""

from __future__ import annotations

import gzip
import hmac
import json
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import streamlit as st
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from qanalysis.charts.linked.modules import (
    MODULES,
    PLOTLY,
    describe_looks,
    name_version,
    read_module,
    read_plotly,
    read_styles,
)
from qanalysis.charts.linked.scene import pack
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.dashboard.sources import read_root
from qanalysis.dashboard.wording import hide_root

MOST_BYTES = 128 * 2**20
MOST_OFFERS = 1024  # one for each family of schemes in sight of each session
LOOKS, STYLES = "looks.json", "linked.css"
_NUMBER = re.compile("[0-9]{1,15}")  # what a browser counts exactly: places of dials have eleven digits
MakeFrames = Callable[[int, int | None], Mapping[str, Any]]
"""Makes a part by its place among those that are promised: all its steps, or the one at a place alone."""
WAY_OUT = "Choose another layer or another source."

# Replaced by the charts as soon as the script runs; it stays where a browser keeps scripts of this page from running.
_BEFORE = (
    '<div class="ql-before">The charts are being drawn. If they do not appear, this browser keeps the scripts of this '
    "page from running: allow them for this address and reload. The tables and downloads hold the same numbers.</div>"
)
_STUB = """export default async (component) => {
  const base = window.__streamlit?.BACKEND_BASE_URL ?? new URL(".", window.location.href).href;
  try {
    const { mount } = await import(new URL(component.data.script, base).href);
    return await mount(component);
  } catch (error) {
    const place = component.parentElement.querySelector(".ql-before");
    const out = "Allow the scripts of this address and reload; the tables and downloads hold the same numbers.";
    if (place) place.textContent = `The charts can not be drawn here: ${error.message}. ${out}`;
    return undefined;
  }
};
"""


class PartStore:
    """The parts of this server, by addresses that only those know who were told; safe to use from every thread.

    `put` keeps a part that is made; `offer` promises parts that are made when they are asked for. The ones used longest
    ago make room.
    """

    def __init__(self, most_bytes: int = MOST_BYTES, most_offers: int = MOST_OFFERS) -> None:
        self._secret = secrets.token_bytes(32)
        self._most_bytes, self._most_offers = most_bytes, most_offers
        self._packed: OrderedDict[str, bytes] = OrderedDict()
        self._offers: OrderedDict[str, tuple[MakeFrames, str]] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def put(self, part: Mapping[str, Any]) -> str:
        """Keep a part; its address relative to the server's root, the same for the same part."""
        packed = pack(part)
        address = f"linked/part/{self._sign(packed)}"
        self._keep(address, packed)
        return address

    def offer(self, key: object, make: MakeFrames, *, way_out: str = WAY_OUT) -> str:
        """Promise the parts of `key`, whose text names everything that they depend on; the address that they lie under.

        `way_out` is the sentence that a person reads behind what went wrong. A promise made before is renewed.
        """
        address = f"linked/frames/{self._sign(repr(key).encode())}"
        with self._lock:
            self._offers[address] = make, way_out
            self._offers.move_to_end(address)
            while len(self._offers) > self._most_offers:
                self._offers.popitem(last=False)
        return address

    def get(self, address: str) -> bytes | None:
        """A part that was put; None for one that is not, or no longer, held."""
        with self._lock:
            if address in self._packed:
                self._packed.move_to_end(address)
            return self._packed.get(address)

    def make(self, address: str, index: int, place: int | None = None) -> bytes | None:
        """A part that was promised; None without the promise. Raises what making it raises."""
        name = f"{address}/{index}" + ("" if place is None else f"?place={place}")
        packed = self.get(name)
        if packed is not None:
            return packed
        with self._lock:
            offer = self._offers.get(address)
            if offer is not None:
                self._offers.move_to_end(address)
        if offer is None:
            return None
        packed = pack(offer[0](index, place))
        self._keep(name, packed)
        return packed

    def find_way_out(self, address: str) -> str:
        """The next step where a promised part can not be made; "" without the promise."""
        with self._lock:
            return self._offers.get(address, (None, ""))[1]

    def _sign(self, text: bytes) -> str:
        """32 hexadecimal digits over a text and this server's secret."""
        return hmac.new(self._secret, text, "sha256").hexdigest()[:32]

    def _keep(self, address: str, packed: bytes) -> None:
        """Hold a part, and let go of those used longest ago beyond the bytes that are allowed."""
        with self._lock:
            self._size += len(packed) - len(self._packed.pop(address, b""))
            self._packed[address] = packed
            while self._size > self._most_bytes and len(self._packed) > 1:
                self._size -= len(self._packed.popitem(last=False)[1])


PARTS = PartStore()


@cache
def _register() -> Any:
    """The component, registered once per process; scripts and styles are fetched, so that a message stays small."""
    return st.components.v2.component("qanalysis_linked", html=_BEFORE, js=_STUB, isolate_styles=False)


def draw_linked(scene: str, key: str, *, at: Mapping[str, Any], on_ask: Callable[[dict[str, Any]], None]) -> None:
    """The linked charts of a scene, whose address `PARTS` gave.

    `at` is where they stand: layer and scheme, or step. `on_ask` is called with what a person chose, when the hand
    rests, in the same words; values from the browser may be anything and are the caller's to check. `key` is the key of
    the component and the CSS class "st-key-KEY".
    """

    def take() -> None:
        """What the browser asks for, for the component's callback."""
        asked = st.session_state[key].get("asked")
        if isinstance(asked, dict):
            seq = asked.get("seq")
            st.session_state[f"{key}-seq"] = seq if isinstance(seq, int) else 0
            on_ask(asked)

    version = name_version()
    told = {
        "script": f"linked/asset/{version}/main.js",
        "plotly": f"linked/asset/{version}/{PLOTLY}",
        "looks": f"linked/asset/{version}/{LOOKS}",
        "styles": f"linked/asset/{version}/{STYLES}",
        "scene": scene,
        "at": dict(at),
        "seq": st.session_state.get(f"{key}-seq", 0),
    }
    _register()(key=key, data=told, on_asked_change=take)


def list_linked_routes() -> list[Route]:
    """The routes of scripts and parts, to be tried before streamlit's own."""
    return [
        Route("/linked/asset/{version}/{name}", _serve_asset),
        Route("/linked/part/{digest}", _serve_part),
        Route("/linked/frames/{token}/{index}", _serve_frames),
    ]


def _serve_asset(request: Request) -> Response:
    """A module, plotly, or the colours; kept for ever, since the address changes with the files."""
    name = request.path_params["name"]
    if name == PLOTLY:
        return _reply(_squeeze_plotly(), "text/javascript", encoding="gzip")
    if name == LOOKS:
        return _reply(json.dumps(describe_looks()).encode(), "application/json")
    if name == STYLES:
        return _reply(read_styles().encode(), "text/css")
    module = name.removesuffix(".js")
    if module not in MODULES:
        return PlainTextResponse("There is no such script.", 404)
    return _reply(read_module(module).encode(), "text/javascript")


def _serve_part(request: Request) -> Response:
    """A part that is held, or 404."""
    packed = PARTS.get(f"linked/part/{request.path_params['digest']}")
    return _reply(packed, "application/octet-stream") if packed else PlainTextResponse("No longer held.", 404)


def _serve_frames(request: Request) -> Response:
    """A layer's part: made where it is asked for the first time; 422 with a sentence where it can not be made."""
    index, place = request.path_params["index"], request.query_params.get("place", "")
    if not _NUMBER.fullmatch(index):
        return PlainTextResponse("There is no such part.", 404)
    address = f"linked/frames/{request.path_params['token']}"
    try:
        packed = PARTS.make(address, int(index), int(place) if _NUMBER.fullmatch(place) else None)
    except (CheckpointError, ValueError, TypeError, OSError, LookupError, MemoryError) as error:
        text = f"{hide_root(str(error), read_root())} {PARTS.find_way_out(address)}"
        return PlainTextResponse(text, 422)
    return _reply(packed, "application/octet-stream") if packed else PlainTextResponse("No longer offered.", 404)


@cache
def _squeeze_plotly() -> bytes:
    """Plotly's script as it travels, a third of its size."""
    return gzip.compress(read_plotly(), 6)


def _reply(content: bytes, kind: str, *, encoding: str | None = None) -> Response:
    """Bytes that never change under their address; for this browser alone."""
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    headers |= {"Content-Encoding": encoding} if encoding else {}
    return Response(content, media_type=kind, headers=headers)
