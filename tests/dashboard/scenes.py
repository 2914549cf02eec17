"""What a browser would draw of a page that AppTest runs: the panels behind each component of linked charts."""

from __future__ import annotations

import json
from typing import Any

from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest

from qanalysis.charts.linked.scene import read_step, unpack
from qanalysis.dashboard.linked import PARTS


def read_components(page: AppTest) -> dict[str, dict[str, Any]]:
    """What each component is told, by its key."""
    return {element.key: json.loads(element.proto.json) for element in page.get("bidi_component")}


def read_address(address: str) -> dict[str, Any]:
    """The part behind an address, as the browser's fetch would get it."""
    packed = PARTS.get(address)
    if packed is None:
        path, _, query = address.partition("?place=")
        token, _, index = path.rpartition("/")
        packed = PARTS.make(token, int(index), int(query) if query else None)
    assert packed is not None, address
    return unpack(packed)


def read_scene(page: AppTest, key: str) -> dict[str, Any]:
    """The scene of a component."""
    return read_address(read_components(page)[key]["scene"])


def read_charts(page: AppTest) -> dict[str, dict[str, Any]]:
    """Every panel in sight by its name: those of single charts, and of linked ones those of the state in view."""
    found: dict[str, dict[str, Any]] = {}
    for told in read_components(page).values():
        scene, at = read_address(told["scene"]), told["at"]
        steps = scene.get("control", {}).get("steps", [])
        place = steps.index(at["step"]) if at.get("step") in steps else 0
        found |= read_step(scene, min(place, len(scene["changes"]) - 1))
        detail = read_detail(scene, at)
        if detail is not None:
            found |= read_step(*detail)
    return found


def read_table(page: AppTest, key: str) -> dict[str, list[Any]]:
    """The columns of a table from which one chooses, by name: numbers with every digit, words as they are shown.

    Rows' whole names are under "row"; infinite numbers are the words that JSON needs.
    """
    (panel,) = read_scene(page, key)["panels"].values()
    columns = panel["table"]["columns"]
    told = {one["name"]: one["texts"] if one["values"] is None else one["values"] for one in columns}
    return {"row": panel["table"]["rows"], **told}


def read_detail(scene: dict[str, Any], at: dict[str, Any]) -> tuple[dict[str, Any], int] | None:
    """The part behind the state in view with its place there; None for a scene that holds all its charts itself."""
    if "families" in scene:
        family = next(family for family in scene["families"] if at["scheme"] in family["schemes"])
        part = read_address(f"{family['frames']}/{scene['layers']['names'].index(at['layer'])}")
        return part, min(family["schemes"].index(at["scheme"]), len(part["changes"]) - 1)
    if "frames" not in scene:
        return None
    index = 0
    for dial in scene["dials"]:
        places = round((dial["max"] - dial["min"]) / dial["grain"]) + 1
        index = index * places + round((at[dial["name"]] - dial["min"]) / dial["grain"])
    return read_address(f"{scene['frames']}/{index}?place={scene['control']['steps'].index(at['step'])}"), 0


def read_heads(page: AppTest) -> list[str]:
    """The headline of each component that has one."""
    heads = []
    for told in read_components(page).values():
        scene, at = read_address(told["scene"]), told["at"]
        if "families" in scene:
            continue
        part, place = read_detail(scene, at) or (
            scene,
            scene["control"]["steps"].index(at["step"]) if scene.get("control") else 0,
        )
        if "heads" in part:
            heads.append(part["heads"][min(place, len(part["heads"]) - 1)])
    return heads


def read_family(page: AppTest) -> tuple[dict[str, Any], int]:
    """The family of schemes in view on page Layers, and the place in it."""
    scheme = read_components(page)["charts"]["at"]["scheme"]
    family = next(family for family in read_scene(page, "charts")["families"] if scheme in family["schemes"])
    return family, family["schemes"].index(scheme)


def read_layer(page: AppTest) -> dict[str, Any]:
    """The part of the layer in view on page Layers."""
    family, _place = read_family(page)
    names = read_scene(page, "charts")["layers"]["names"]
    return read_address(f"{family['frames']}/{names.index(read_components(page)['charts']['at']['layer'])}")


def read_headline(page: AppTest) -> str:
    """The sentence above the charts of page Layers."""
    family, place = read_family(page)
    return family["heads"][place]


def ask(page: AppTest, key: str, asked: Any) -> AppTest:
    """Runs the page after a person's choice in a component's charts, as the browser sends it."""
    element = next(element for element in page.get("bidi_component") if element.key == key)
    states = page._tree.get_widget_states()
    states.widgets.append(WidgetState(id=element.proto.id, json_value=json.dumps({"asked": asked})))
    return page._run(states)
