"""The cross-checks: that the peers agree, that a wrong figure is noticed, and that a broken peer is a line and not a crash."""

from __future__ import annotations

import importlib
import json
import logging
import sys
import types
import warnings
from collections.abc import Iterator
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
from typer.testing import CliRunner

from qanalysis.cli import app
from qanalysis.quantizers.scheme import Scheme
from qanalysis.reports.list_sections import outline_checks
from qanalysis.results.document import write_document
from qanalysis.sweeps.sweep import sweep
from qanalysis.validation import float_peers, onnxruntime_layouts, peers, stored, torch_layouts
from qanalysis.validation.check import (
    Agreement,
    Check,
    Comparison,
    compare_figures,
    compare_sqnr,
    count_differing,
    count_ulps,
    read_sqnr_db,
)
from qanalysis.validation.gguf_peer import _read_tensors as read_tensors
from qanalysis.validation.peers import PEERS, Peer, validate
from qanalysis.validation.stored import Case, compare_rounded, read_file
from qanalysis.validation.table import explain_checks, summarize_checks, tabulate_checks
from qanalysis.validation.tensors import (
    fit_zero_points,
    make_tensors,
    map_groups,
    probe_levels,
    round_trip,
    whole_tensors,
)

ALWAYS = ("torch", "ml-dtypes", "gguf", "published tables", "theory")
EVERY_PEER = pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)


def require(peer: Peer) -> Peer:
    if not peer.version:
        assert peer.name not in ALWAYS, f"{peer.name} is a dependency"
        pytest.skip(f"{peer.name} is not installed")
    return peer


def make_check(**parts: object) -> Check:
    return Check(
        **{"name": "int4", "peer": "judge", "version": "1.0", "kind": "dB", "reached": 2e-7, "required": 1e-5} | parts
    )  # type: ignore[arg-type]


@EVERY_PEER
def test_every_peer_agrees(peer: Peer) -> None:
    checks = validate([require(peer)])
    assert len(checks) > 2
    assert [
        (check.name, check.reached_text, check.reason) for check in checks if check.verdict not in ("ok", "by design")
    ] == []
    assert all(check.values > 0 and check.version == peer.version for check in checks)
    assert all(check.reason and check.reached for check in checks if check.verdict == "by design"), (
        "a difference by design is one, and says why"
    )


def spoil(x: np.ndarray, scheme: str) -> np.ndarray:
    """0.05 % off in every error, 0.004 dB, and one value off by one unit in the last place where there is no error."""
    y = round_trip(x, scheme)
    spoiled = (x + (y - x) * np.float32(1.0005)).astype(np.float32)
    spoiled.flat[-1] = np.nextafter(y.flat[-1], np.float32(np.inf))
    return spoiled


def take_another_width(scheme: str) -> str:
    return scheme.replace("int8", "int7").replace("int4", "int5").replace("int16", "int15")


@pytest.mark.parametrize("peer", [peer for peer in PEERS if not peer.edition], ids=lambda peer: peer.name)
def test_a_figure_that_is_off_is_noticed_by_every_check(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        stored, "read_file", lambda path: {name: x + np.float32(x.max() or 1) for name, x in read_file(path).items()}
    )
    wrong = {
        "read_file": stored.read_file,
        "round_trip": spoil,
        "read_sqnr_db": lambda x, y: read_sqnr_db(x, y) - 0.001,
        "_read_tensors": lambda path: {name: x + np.float32(1) for name, x in read_tensors(path).items()},
        "fit_zero_points": lambda x, scheme: fit_zero_points(x, scheme) + 1,
        "Scheme": types.SimpleNamespace(parse=lambda text: Scheme.parse(take_another_width(text))),
    }
    module = importlib.import_module(f"qanalysis.validation.{require(peer).module}")
    for place, name in (
        (place, name)
        for place in (module, float_peers, onnxruntime_layouts, torch_layouts)
        for name in wrong
        if hasattr(place, name)
    ):
        monkeypatch.setattr(place, name, wrong[name])
    monkeypatch.setattr(
        sys.modules["qanalysis.sweeps.sweep"],
        "sweep",
        lambda source, schemes, **options: sweep(source, map(take_another_width, schemes), **options),
    )
    # An observer that must not be better does not mind a figure that is too good; it has a test of its own.
    assert [
        check.name for check in validate([peer]) if check.verdict == "ok" and "HistogramObserver" not in check.name
    ] == []


def test_a_wrong_peer_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    honest = torch.fake_quantize_per_channel_affine

    def off_by_one(*inputs: object) -> torch.Tensor:
        restored = honest(*inputs)
        restored[0, 0] += 2.0**-10
        return restored

    monkeypatch.setattr(torch, "fake_quantize_per_channel_affine", off_by_one)
    checks = {check.name: check for check in validate([Peer("torch", "torch_peer", "compare_torch")])}
    integers = [check for name, check in checks.items() if "fake_quantize" in name]
    assert len(integers) == 8
    assert all(check.verdict == "failed" and check.reached for check in integers)
    assert checks["bfloat16: all exponents and subnormals: cast"].verdict == "ok"


def test_a_range_rule_worse_than_the_observer_s_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "qanalysis.validation.torch_peer.round_trip", lambda x, scheme: round_trip(x, scheme.removesuffix(" range=mse"))
    )
    (check,) = [check for check in validate([PEERS[0]]) if "HistogramObserver" in check.name]
    assert check.verdict == "failed"


def test_a_wrong_table_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    from qanalysis.validation import theory_tables

    lloyd, even, odd = theory_tables.PUBLISHED["gaussian"]
    monkeypatch.setitem(theory_tables.PUBLISHED, "gaussian", ((*lloyd[:-1], lloyd[-1] * 1.00001), even, odd))
    failed = [
        check.name
        for check in validate([Peer("tables", "theory_tables", "compare_tables", edition="x")])
        if check.verdict == "failed"
    ]
    assert failed == ["Lloyd-Max error, gaussian, 1 to 8 bits"]


def test_a_wrong_engine_is_noticed_by_theory(monkeypatch: pytest.MonkeyPatch) -> None:
    from qanalysis.validation import theory_tables

    class Row:
        sqnr_db, bits_per_weight, rmse_in_steps, scheme = 20.0, 4.0, 0.29, "int4"

    monkeypatch.setattr(theory_tables, "_measure_gaussian", lambda _scheme: Row())
    monkeypatch.setattr(theory_tables, "sweep", lambda *_: [Row()])
    monkeypatch.setattr(theory_tables, "read_sqnr_db", lambda *_: 21.0)
    assert {
        check.verdict for check in validate([Peer("theory", "theory_tables", "compare_monte_carlo", edition="x")])
    } == {"failed"}


def test_a_peer_that_changed_its_interface_is_a_failed_line_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    import gguf.quants

    monkeypatch.delattr(gguf.quants, "quantize")
    checks = validate([Peer("gguf", "gguf_peer", "compare_gguf")])
    assert {check.verdict for check in checks if "reading" not in check.name} == {"failed"}
    assert "ImportError: cannot import name 'quantize'" in checks[0].reason
    assert checks[0].reached_text == "–"


def test_a_peer_that_can_not_be_imported_is_one_failed_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def compare() -> Iterator[Comparison]:
        yield Comparison("first", "dB", 1.0, lambda: Agreement(0.0, 1))
        raise RuntimeError("no such symbol")

    module = types.ModuleType("qanalysis.validation.broken")
    module.compare = compare  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "qanalysis.validation.broken", module)
    first, second = validate([Peer("numpy", "broken", "compare")])
    assert first.verdict == "ok"
    assert (second.verdict, second.reason) == ("failed", "RuntimeError: no such symbol")


def test_a_peer_that_is_not_installed_is_listed() -> None:
    (check,) = validate([Peer("no-such-distribution", "gguf_peer", "compare_gguf")])
    assert (check.verdict, check.reason) == ("not installed", "not installed: pip install 'qanalysis[peers]'")


def test_what_peers_say_is_kept_out_of_the_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def talk() -> Iterator[Comparison]:
        print("hello")
        warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
        logging.getLogger("peer").error("no GPU")
        yield Comparison("quiet", "dB", 1.0, lambda: Agreement(0.0, 1))

    module = types.ModuleType("qanalysis.validation.talker")
    module.talk = talk  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "qanalysis.validation.talker", module)
    assert [check.verdict for check in validate([Peer("numpy", "talker", "talk")])] == ["ok"]
    assert capsys.readouterr() == ("", "")
    assert logging.root.manager.disable == 0


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ({}, "ok"),
        ({"reached": 1e-5}, "ok"),
        ({"reached": 1.01e-5}, "failed"),
        ({"reached": float("nan")}, "failed"),
        ({"reached": None}, "failed"),
        ({"required": None}, "by design"),
        ({"version": ""}, "not installed"),
    ],
    ids=["within", "at the limit", "beyond", "NaN", "nothing reached", "by design", "no version"],
)
def test_verdicts(parts: dict[str, object], verdict: str) -> None:
    assert make_check(**parts).verdict == verdict


def test_distances_are_written_in_their_unit() -> None:
    exact = make_check(kind="bit-exact", reached=2.0, required=0.0, values=1000)
    assert (exact.reached_text, exact.required_text) == ("2 of 1,000 differ", "bit-exact")
    assert (make_check().reached_text, make_check().required_text) == ("2e-07 dB", "≤ 1e-05 dB")
    assert make_check(kind="relative").reached_text == "2e-07"
    assert make_check(required=None).required_text == "–"


def test_one_unit_in_the_last_place_counts_as_different() -> None:
    x = np.float32([1.0, np.nan, -0.0])
    assert count_differing([(x, np.float32([1.0, np.nan, 0.0]))]) == (0.0, 3)
    assert count_differing([(x, x), (np.nextafter(x, np.float32(2)), x)]) == (
        2.0,
        6,
    )  # -0 becomes the smallest subnormal; NaN stays
    assert count_ulps([(np.float32([1.0]), np.float32([1.0])), (np.float32([2.0]), np.float32([2 - 2**-22]))]) == (
        2.0,
        2,
    )


def test_figures_differ_by_the_largest_distance() -> None:
    assert compare_figures([([1.0, 2.0], [1.5, 2.0]), (3.0, 2.9)]).reached == 0.5
    assert compare_figures([(1.0, 2.0), (30.0, 20.0)], relative=True) == (0.5, 2)
    assert np.isnan(compare_figures([(np.nan, 1.0), (1.0, 1.0)]).reached)
    # e of 0.1 against 0.05 on a signal of 1: 20 log10 2.
    assert compare_sqnr([([1.0], [1.1], [1.05])]).reached == pytest.approx(20 * np.log10(2), rel=1e-12)


def test_comparisons_that_compare_nothing_raise() -> None:
    with pytest.raises(ValueError, match="nothing was compared"):
        count_differing([])
    with pytest.raises(ValueError, match=r"ours has shape \(2,\), theirs \(1,\)"):
        count_differing([([1.0, 2.0], [1.0])])
    with pytest.raises(ValueError, match="the SQNR to compare is inf"):
        read_sqnr_db([1.0], [1.0])
    with pytest.raises(ValueError, match="the SQNR to compare is None"):
        read_sqnr_db([0.0], [0.0])


def test_tensors_hold_what_goes_wrong() -> None:
    tensors = make_tensors()
    assert tensors["weights"].shape == (256, 512)
    assert np.abs(tensors["weights"][3]).max() < 1e-6
    assert (tensors["zeros"][:4] == 0).all()
    assert np.signbit(tensors["zeros"][4, 0])
    assert all(x.shape[1] % 256 == 0 for x in whole_tensors().values())
    assert tensors["ragged"].shape[1] % 32
    assert not any(x.flags.writeable for x in tensors.values())


def test_probes_stand_on_both_sides_of_every_midpoint() -> None:
    probes = probe_levels(np.float32([-2, 0, 1]))[0]
    for middle in (-1.0, 0.5):
        below, above = np.nextafter(np.float32(middle), np.float32([-9, 9]))
        assert {np.float32(middle), below, above} <= set(probes)
    assert (probes.min(), probes.max()) == (-2, 1)


@pytest.mark.parametrize("length", [None, 3, 4, 10, 12], ids=str)
def test_groups_are_mapped_with_their_shorter_last_one(length: int | None) -> None:
    x = np.random.default_rng(0).normal(size=(2, 10)).astype(np.float32)
    mapped = map_groups(x, length, lambda groups: groups / np.abs(groups).max(axis=1, keepdims=True))
    expected = (
        x / np.abs(x).max()
        if length is None
        else np.concatenate(
            [
                x[:, i : i + length] / np.abs(x[:, i : i + length]).max(axis=1, keepdims=True)
                for i in range(0, 10, length)
            ],
            axis=1,
        )
    )
    np.testing.assert_array_equal(mapped, expected)


def test_stored_parts_are_read_as_their_values() -> None:
    torch = pytest.importorskip("torch")
    parts = {"l.weight": torch.tensor([[127, -2]], dtype=torch.int8), "l.SCB": torch.tensor([254.0])}
    assert stored.read_stored(Case(parts, np.empty(0))).tolist() == [[254.0, -4.0]]
    assert stored.compare_cases([Case(parts, np.float32([[254, -5]]))]) == (1.0, 2)
    with pytest.raises(KeyError, match="another"):
        stored.read_stored(Case(parts, np.empty(0), name="another"))


@pytest.mark.parametrize(
    ("values", "reached"),
    [([[254.0, -4.0]], 0.0), ([[254.0, -2.0]], 1.0), ([[254.0, 0.0]], np.inf)],
    ids=["equal", "twice as large", "zero there alone"],
)
def test_rounded_values_differ_by_a_share_of_theirs(values: list[list[float]], reached: float) -> None:
    torch = pytest.importorskip("torch")
    parts = {"l.weight": torch.tensor([[127, -2]], dtype=torch.int8), "l.SCB": torch.tensor([254.0])}
    assert compare_rounded([Case(parts, np.float32(values))]).reached == reached


def test_weights_to_pack_spread_over_six_decades() -> None:
    rows = np.abs(stored.draw_weights(31, 64).numpy()).max(axis=1)
    assert rows[-1] > 1e5 * rows[0]


CHECKS = (
    make_check(),
    make_check(name="int8", reached=0.5, required=1e-5),
    make_check(name="shift", required=None, reason="a real shift there"),
    make_check(name="all", peer="gfloat", version="", reached=None, required=None),
    make_check(name="spoiled", reached=float("inf")),
)


def test_the_document_follows_its_shipped_schema() -> None:
    document = write_document(tabulate_checks(CHECKS))
    schema = json.loads(files("qanalysis").joinpath("schema/checks.schema.json").read_text())
    jsonschema.validate(document, schema)
    assert [row["verdict"] for row in document["rows"]] == ["ok", "failed", "by design", "not installed", "failed"]
    assert document["rows"][4]["reached"] is None
    assert document["totals"] == [
        {"verdict": v, "checks": n} for v, n in (("ok", 1), ("failed", 2), ("by design", 1), ("not installed", 1))
    ]


def test_every_peer_that_was_asked_has_a_table() -> None:
    first, second = outline_checks(tabulate_checks((make_check(peer="torch", version="2.13"), *CHECKS))).lead
    assert (first.heading, first.blocks[0].lines) == ("torch 2.13", [("int4", "2e-07 dB", "≤ 1e-05 dB", "ok")])
    assert (second.heading, len(second.blocks[0].lines)) == ("judge 1.0", 4)


def test_notes_explain_whatever_is_not_plain_agreement() -> None:
    rows = tabulate_checks(CHECKS)
    notes = explain_checks(rows)
    assert "by design: shift (judge): a real shift there" in notes
    assert "not installed: gfloat: pip install 'qanalysis[peers]'" in notes
    assert (
        notes[-1] == summarize_checks(rows) == "1 of 3 checks agree; 1 difference is by design; 1 peer is not installed"
    )


def ask(monkeypatch: pytest.MonkeyPatch, checks: tuple[Check, ...], *words: str) -> tuple[int, str]:
    monkeypatch.setattr(peers, "validate", lambda **_options: checks)
    result = CliRunner().invoke(app, ["validate", *words], prog_name="qanalysis")
    return result.exit_code, result.stdout


def test_the_command_exits_1_if_one_check_falls_short(monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = ask(monkeypatch, CHECKS[:1])
    assert code == 0
    assert text.splitlines()[0] == "judge 1.0"
    assert text.splitlines()[-1] == "1 of 1 checks agree"
    assert ask(monkeypatch, CHECKS)[0] == 1
    assert "failed: int8 (judge)" in ask(monkeypatch, CHECKS)[1]


def test_the_command_prints_one_document_even_if_a_check_falls_short(monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = ask(monkeypatch, CHECKS, "--json")
    assert code == 1
    assert {**json.loads(text), "settings": None} == {**write_document(tabulate_checks(CHECKS)), "settings": None}
    assert json.loads(text)["settings"]["summary"] == summarize_checks(tabulate_checks(CHECKS))


def test_the_command_shows_an_example() -> None:
    assert (
        "qanalysis validate"
        in CliRunner().invoke(app, ["validate", "--help"], prog_name="qanalysis").stdout.split("Example:")[1]
    )
