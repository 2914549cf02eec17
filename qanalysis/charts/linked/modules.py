"""Which files draw in the browser? The modules and styles beside this one, plotly's own script, and the colours.

A page fetches them by name; a report that opens without a network holds them joined to one script.
"""

from __future__ import annotations

import hashlib
import pkgutil
import re
from functools import cache
from importlib.resources import files
from typing import Any

from qanalysis.charts.palette import PALETTES, pair_colours, template

# A module stands after those that it takes names from.
MODULES = (
    *("words", "parts", "colours", "clipboard", "dials", "slider", "legend", "marks", "table", "facts", "tools"),
    *(
        "chart",
        "cells",
        "grid_layout",
        "grid_names",
        "grid_scale",
        "grid_tiles",
        "grid",
        "plan",
        "linked",
        "offline",
        "main",
    ),
)
STYLES = ("linked", "grid", "table")
PLOTLY = "plotly.min.js"
_IMPORT = re.compile(r"^import \{[^}]*\} from \"\./[a-z_]+\.js\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=const |class |let |async function |function )", re.MULTILINE)


@cache
def read_module(name: str) -> str:
    """One module by its name without ".js"; KeyError for a name that is none."""
    if name not in MODULES:
        raise KeyError(name)
    return files("qanalysis.charts.linked").joinpath(f"{name}.js").read_text(encoding="utf-8")


@cache
def read_styles() -> str:
    """All styles as one sheet."""
    return "".join(files("qanalysis.charts.linked").joinpath(f"{name}.css").read_text("utf-8") for name in STYLES)


@cache
def join_modules() -> str:
    """Every module but the page's own `main` as one script without imports; names are distinct over all of them."""
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", read_module(name))) for name in MODULES if name != "main")


@cache
def read_plotly() -> bytes:
    """Plotly's script of the installed package; FileNotFoundError where the package came without it."""
    script = pkgutil.get_data("plotly", f"package_data/{PLOTLY}")
    if script is None:
        raise FileNotFoundError(f"the installed plotly holds no {PLOTLY}; install plotly 7 again")
    return script


def describe_looks() -> dict[str, Any]:
    """What the browser knows of colours: both palettes by role, the dark twin of each light colour, the template."""
    roles: dict[str, Any] = {
        str(theme): {name: getattr(palette, name) for name in _ROLES} for theme, palette in PALETTES.items()
    }
    return {**roles, "twins": list(pair_colours().items()), "template": template("light").to_plotly_json()}


_ROLES = ("background", "panel", "text", "muted", "grid", "kept", "clipped", "zeroed", "error", "reference")


@cache
def name_version() -> str:
    """Sixteen hexadecimal digits that change with any of the files: addresses that hold it may be kept for ever."""
    digest = hashlib.sha256(read_styles().encode())
    for name in MODULES:
        digest.update(read_module(name).encode())
    digest.update(repr(describe_looks()).encode() + len(read_plotly()).to_bytes(8, "big"))
    return digest.hexdigest()[:16]
