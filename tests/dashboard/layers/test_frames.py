"""The frames of page Layers are the charts of the engine's numbers at every width, swept or not; their lines of Python run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qanalysis.charts.channel_charts import channel_errors
from qanalysis.charts.curves import error_curves, mark_point
from qanalysis.charts.layer_axes import LayerAxes
from qanalysis.charts.layer_charts import error_histogram, weight_histogram
from qanalysis.charts.linked.scene import Panel, pack, read_step, unpack
from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.source import CheckpointError
from qanalysis.dashboard.cache import identify
from qanalysis.dashboard.jobs import SweepRequest
from qanalysis.dashboard.layers.frames import build_layer, offer_scene
from qanalysis.dashboard.layers.shown import Shown
from qanalysis.dashboard.layers.view import LayersView
from qanalysis.dashboard.linked import PARTS
from qanalysis.diagnosis.profile import profile_layer
from qanalysis.notation import measure as tell
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.summary import headline
from qanalysis.sweeps.row import Rows
from qanalysis.sweeps.sweep import sweep
from tests.dashboard.fetching import fetch

SOURCE = "own.npz"
FAMILIES = ["channel", "asym group=8 range=percentile:99", "sym-clip"]
SWEPT = [f"int{bits} {family}" for bits in (3, 4, 5) for family in FAMILIES] + ["mxfp4", "nf4 group=8"]
WIDTHS = range(2, 17)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    rng = np.random.default_rng(7)
    layer = (rng.standard_t(4, (6, 32)) * 0.02).astype(np.float32)
    layer[2] *= 30
    layer[4, 5] = np.nan
    tensors = {
        "layer": layer,
        "it's": rng.normal(size=(4, 8)).astype(np.float32),
        "odd": rng.normal(size=(4, 9)).astype(np.float32),
        "zero": np.zeros((4, 8), np.float32),
        "ids": np.arange(12).reshape(3, 4),
    }
    np.savez(folder / SOURCE, **tensors)
    return folder


@pytest.fixture(autouse=True)
def in_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QANALYSIS_ROOT", str(root))
    monkeypatch.chdir(root)


def show(source: str = SOURCE, schemes: list[str] = SWEPT, **view: Any) -> Shown:
    texts = tuple(str(Scheme.parse(text)) for text in schemes)
    with open_checkpoint(source) as opened:
        rows = sweep(opened, texts, roles="all")
    request = SweepRequest(source, identify(source).identity, texts, roles="all")
    return Shown(request, rows, LayersView(source=source, **view), texts[0])


@pytest.fixture(scope="module")
def measured(root: Path) -> Rows:
    schemes = [f"int{bits} {family}" for bits in WIDTHS for family in FAMILIES] + ["mxfp4", "nf4 group=8"]
    with open_checkpoint(root / SOURCE) as source:
        return sweep(source, schemes, roles="all")


def names_of(shown: Shown) -> tuple[str, ...]:
    return tuple(shown.firsts)


def travel(part: Mapping[str, Any]) -> dict[str, Any]:
    return unpack(pack(part))


def assert_same_panel(panel: dict[str, Any], figure: Any) -> None:
    drawn = Panel(panel["name"], figure, panel["python"]).describe()
    assert {key: panel[key] for key in drawn} == json.loads(json.dumps(drawn))


@pytest.mark.parametrize("log", [False, True], ids=["counts", "logarithmic counts"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_step_is_the_charts_of_that_profile_on_shared_axes(
    root: Path, measured: Rows, family: str, log: bool
) -> None:
    shown = show(log=log)
    values = np.load(root / SOURCE)["layer"]
    profiles = [profile_layer(values, Scheme.parse(f"int{bits} {family}"), name="layer") for bits in WIDTHS]
    axes = LayerAxes.over(profiles)
    found = next(
        known for known in shown.families if known.name == str(Scheme.parse(f"int4 {family}")).split(" ", 1)[1]
    )
    part = travel(build_layer(shown, names_of(shown), found, names_of(shown).index("layer")))
    curves = error_curves(shown.rows, ["layer"], "sqnr_db")
    assert len(part["changes"]) == len(part["told"]) == len(WIDTHS)
    for place, (bits, profile) in enumerate(zip(WIDTHS, profiles, strict=True)):
        panels = read_step(part, place)
        assert set(panels) == {"weights", "errors", "channels", "curves"}
        assert_same_panel(panels["weights"], weight_histogram(profile, log_counts=log, axes=axes))
        assert_same_panel(panels["errors"], error_histogram(profile, axes=axes))
        assert_same_panel(panels["channels"], channel_errors(profile, axes=axes))
        assert_same_panel(panels["curves"], curves)
        row = next(row for row in measured if (row.tensor, row.scheme) == ("layer", str(profile.scheme)))
        told = tell(row.sqnr_db, "dB") + ("" if bits in (3, 4, 5) else ", not in the sweep")
        assert part["told"][place] == told
        assert panels["curves"]["marks"] == json.loads(json.dumps(mark_point(curves, row.bits, told)))
    assert part["note"] == ""


@pytest.mark.parametrize("bits", WIDTHS)
def test_one_width_alone_is_the_same_charts(root: Path, bits: int) -> None:
    shown, place = show(), bits - 2
    family, index = shown.families[0], names_of(show()).index("layer")
    alone = travel(build_layer(shown, names_of(shown), family, index, place))
    whole = travel(build_layer(shown, names_of(shown), family, index))
    assert len(alone["changes"]) == len(alone["told"]) == 1
    assert alone["told"][0] == whole["told"][place]
    profile = profile_layer(np.load(root / SOURCE)["layer"], Scheme.parse(family.schemes[place]), name="layer")
    axes = LayerAxes.over([profile])
    panels, among = read_step(alone, 0), read_step(whole, place)
    for name, figure in {
        "weights": weight_histogram(profile, axes=axes),
        "errors": error_histogram(profile, axes=axes),
        "channels": channel_errors(profile, axes=axes),
    }.items():
        assert_same_panel(panels[name], figure)
        assert panels[name]["figure"]["data"] == among[name]["figure"]["data"]
        assert panels[name]["python"] == among[name]["python"]
    assert panels["curves"] == among["curves"]


def test_families_are_the_integers_at_every_width_and_each_format_once() -> None:
    families = show().families
    assert [family.name for family in families] == [
        "channel",
        "asym group=8 range=percentile:99",
        "sym-clip",
        "mxfp4",
        "nf4 group=8",
    ]
    for family in families[:3]:
        assert family.steps == tuple(WIDTHS)
        assert [Scheme.parse(text).format.bits for text in family.schemes] == list(WIDTHS)
    for family in families[3:]:
        assert (family.steps, family.schemes) == (None, (family.name,))


@pytest.mark.parametrize("scheme", ["mxfp4", "nf4 group=8"])
def test_a_format_without_widths_has_one_step(root: Path, measured: Rows, scheme: str) -> None:
    shown = show()
    family = next(family for family in shown.families if family.name == scheme)
    part = travel(build_layer(shown, names_of(shown), family, names_of(shown).index("layer")))
    profile = profile_layer(np.load(root / SOURCE)["layer"], Scheme.parse(scheme), name="layer")
    assert len(part["changes"]) == 1
    assert_same_panel(read_step(part, 0)["errors"], error_histogram(profile))
    row = next(row for row in measured if (row.tensor, row.scheme) == ("layer", scheme))
    assert part["told"] == [tell(row.sqnr_db, "dB")]


@pytest.mark.parametrize(
    ("tensor", "scheme", "says"),
    [
        ("ids", "channel", "unsupported: dtype"),
        ("zero", "channel", "zero: every element is 0"),
        ("odd", "mxfp4", "do not divide a row of 9"),
        ("gone", "channel", "gone is not in the rows shown"),
    ],
)
@pytest.mark.parametrize("place", [None, 0])
def test_a_layer_without_figures_has_a_note_that_says_why(
    tensor: str, scheme: str, says: str, place: int | None
) -> None:
    shown = show()
    family = next(family for family in shown.families if family.name == scheme)
    part = travel(build_layer(shown, (tensor,), family, 0, place))
    assert (part["panels"], part["changes"]) == ({}, [{}])
    assert says in part["note"]


def test_the_layer_that_blocks_do_not_divide_has_charts_of_the_integers() -> None:
    shown = show(schemes=["mxfp4", "int4 channel"])
    family = next(family for family in shown.families if family.name == "channel")
    assert set(travel(build_layer(shown, ("odd",), family, 0))["panels"]) == {"weights", "errors", "channels", "curves"}


def run_lines(lines: str) -> dict[str, Any]:
    told: dict[str, Any] = {}
    exec(compile(lines, "lines of a panel", "exec"), told)
    return told


@pytest.mark.parametrize("tensor", ["layer", "it's"])
@pytest.mark.parametrize("place", [0, 2, 14])
def test_the_lines_of_python_give_the_numbers_of_the_chart(tensor: str, place: int) -> None:
    shown = show()
    part = travel(build_layer(shown, names_of(shown), shown.families[1], names_of(shown).index(tensor)))
    panels = read_step(part, place)
    profile = profile_layer(np.load(SOURCE)[tensor], Scheme.parse(shown.families[1].schemes[place]), name=tensor)
    lines = {name: run_lines(panel["python"]) for name, panel in panels.items()}
    np.testing.assert_array_equal(lines["weights"]["figures"], profile.weights.counts)
    np.testing.assert_array_equal(lines["errors"]["figures"], profile.error_in_steps.counts)
    np.testing.assert_array_equal(lines["channels"]["figures"], profile.channel_share)
    curve = lines["curves"]["curve"]
    rows = [row for row in shown.rows if row.tensor == tensor]
    assert list(curve["scheme"]) == [row.scheme for row in rows]
    np.testing.assert_array_equal(curve["sqnr_db"], [np.nan if row.sqnr_db is None else row.sqnr_db for row in rows])


def test_the_lines_of_the_map_give_its_values() -> None:
    shown = show()
    part = read_scene(offer_scene(shown, names_of(shown), names_of(shown)))
    values = run_lines(read_step(part, 0)["heat"]["python"])["values"]
    for row in shown.rows:
        if row.sqnr_db is not None:
            assert values.loc[row.tensor, row.scheme] == row.sqnr_db


def read_scene(address: str) -> dict[str, Any]:
    token, _, index = address.rpartition("/")
    packed = PARTS.make(token, int(index))
    assert packed is not None
    return unpack(packed)


def test_the_scene_leads_to_every_layer_of_every_family() -> None:
    shown = show()
    scene = read_scene(offer_scene(shown, names_of(shown), ("layer", "odd")))
    assert scene["layers"] == {"names": list(names_of(shown)), "numel": [192, 32, 36, 32, 12], "listed": [0, 2]}
    for family, known in zip(scene["families"], shown.families, strict=True):
        assert family["schemes"] == list(known.schemes)
        assert family["swept"] == [scheme in shown.schemes for scheme in known.schemes]
        for head, scheme in zip(family["heads"], known.schemes, strict=True):
            expected = headline(shown.rows, scheme) if scheme in shown.schemes else "not in the sweep"
            assert expected in head
        for index in range(len(names_of(shown))):
            assert PARTS.make(family["frames"], index) is not None


def test_a_width_that_was_not_swept_in_view_leaves_the_sizes_known() -> None:
    shown = replace(show(), scheme="int12 channel")
    assert shown.in_view == ()
    scene = read_scene(offer_scene(shown, names_of(shown), names_of(shown)))
    assert scene["layers"]["numel"] == [192, 32, 36, 32, 12]
    assert {row.scheme for row in shown.nearest} == {"int5 channel"}


@pytest.mark.parametrize(
    "change", [{"log": True}, {"axis": "bits_per_weight"}, {"limits": True}, {"compared": ("it's",)}, {"metric": "mse"}]
)
def test_what_changes_the_charts_changes_the_address(change: dict[str, Any]) -> None:
    shown = show()
    other = replace(shown, view=replace(shown.view, **change))
    addresses = [offer_scene(one, names_of(one), names_of(one)) for one in (shown, other, shown)]
    assert addresses[0] == addresses[2] != addresses[1]
    frames = [{family["frames"] for family in read_scene(address)["families"]} for address in addresses[:2]]
    assert not frames[0] & frames[1]


def test_a_scene_that_is_held_leads_to_promises_that_are_held_too() -> None:
    shown = show()
    address = offer_scene(shown, names_of(shown), names_of(shown))
    frames = read_scene(address)["families"][0]["frames"]
    for number in range(2000):
        PARTS.offer(("crowd", number), lambda index, place: {})
    assert PARTS.make(frames, 0, 5) is None
    assert offer_scene(shown, names_of(shown), names_of(shown)) == address
    assert read_scene(address)["families"][0]["frames"] == frames
    assert PARTS.make(frames, 0, 5) is not None


def test_an_unswept_width_keeps_the_channel_axis_of_the_file(root: Path) -> None:
    onnx = pytest.importorskip("onnx")
    values = np.random.default_rng(3).normal(size=(8, 6)).astype(np.float32) * np.float32(2.0) ** np.arange(6)
    values = values.astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 8])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 6])],
        [onnx.numpy_helper.from_array(values, "w")],
    )
    onnx.save(onnx.helper.make_model(graph), root / "own.onnx")
    with open_checkpoint("own.onnx") as source:
        assert source.tensors[0].view.rows == (1,)
        rows = sweep(source, ["int9 channel"])
    shown = show("own.onnx", ["int4 channel"])
    part = travel(build_layer(shown, ("w",), shown.families[0], 0))
    assert part["told"][7] == f"{tell(rows[0].sqnr_db, 'dB')}, not in the sweep"
    assert len(read_step(part, 0)["channels"]["figure"]["data"][0]["x"]["bdata"]) > 0


class TestTheFileSince:
    def keep(self, root: Path, name: str) -> tuple[Shown, str]:
        np.savez(root / name, w=np.random.default_rng(len(name)).normal(size=(4, 8)).astype(np.float32))
        shown = show(name, ["int4 channel"])
        return shown, read_scene(offer_scene(shown, ("w",), ("w",)))["families"][0]["frames"]

    def test_a_file_that_vanished_is_told_without_the_folder_it_was_in(
        self, root: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        _shown, frames = self.keep(root, "vanishes.npz")
        (root / "vanishes.npz").unlink()
        reply = fetch(f"/{frames}/0")
        assert reply.status_code == 422
        assert "vanishes.npz" in reply.text
        assert "does not exist" in reply.text
        assert str(root) not in reply.text
        assert not [record for record in caplog.records if record.exc_info]

    def test_a_file_that_changed_is_not_mixed_with_the_rows_of_the_old_one(self, root: Path) -> None:
        shown, frames = self.keep(root, "changes.npz")
        np.savez(root / "changes.npz", w=np.ones((4, 8), np.float32), more=np.ones(5000))
        with pytest.raises(CheckpointError, match="has changed since it was swept"):
            build_layer(shown, ("w",), shown.families[0], 0)
        reply = fetch(f"/{frames}/0")
        assert (reply.status_code, "changes.npz has changed" in reply.text) == (422, True)


class TestTheWire:
    MOST = 150_000  # bytes of a layer at fifteen widths

    def test_every_layer_of_the_sample(self) -> None:
        shown = show("sample:digits-cnn", ["int4 group=128"])
        for family in shown.families:
            for index in range(len(names_of(shown))):
                assert len(pack(build_layer(shown, names_of(shown), family, index))) <= self.MOST

    def test_ten_million_values_in_4096_channels(self, root: Path) -> None:
        rng = np.random.default_rng(1)
        np.savez(root / "large.npz", w=rng.standard_normal((4096, 2442), dtype=np.float32))
        shown = show("large.npz", ["int4 group=128"])
        assert len(pack(build_layer(shown, ("w",), shown.families[0], 0))) <= self.MOST
