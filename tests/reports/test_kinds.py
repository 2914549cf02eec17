"""Every kind of result through every kind of file and back, onto one page and into one terminal; damage gives one message."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from qanalysis.checkpoints.inventory import list_tensors
from qanalysis.checkpoints.source import ArraySource
from qanalysis.cli import app
from qanalysis.comparisons.row import ComparisonRow
from qanalysis.comparisons.tables import compare_tables
from qanalysis.comparisons.verify import verify_plan
from qanalysis.converters.linearity.linearity import measure_linearity
from qanalysis.converters.linearity.row import LinearityRow, describe_linearity, read_dnl
from qanalysis.converters.spectrum.options import SpectrumOptions
from qanalysis.converters.spectrum.row import RecordRow
from qanalysis.converters.spectrum.spectrum import analyze_spectrum, describe_spectrum
from qanalysis.converters.textbook.row import TextbookRow, list_textbook_rows
from qanalysis.converters.textbook.textbook import solve_textbook
from qanalysis.models.forms.row import FormRow
from qanalysis.plans.planning import plan_bits
from qanalysis.reports.kinds import load_kinds, outline
from qanalysis.reports.page import render_page
from qanalysis.reports.report import read_result, read_rows, write_report
from qanalysis.reports.terminal import print_result
from qanalysis.results import parquet
from qanalysis.results.conditions import ConditionCheck, hold_all
from qanalysis.results.document import kind_of, to_json
from qanalysis.results.gates import Gate, hold_gates
from qanalysis.results.identity import SourceIdentity
from qanalysis.results.parquet import METADATA_KEY
from qanalysis.results.table import Frame, Table
from qanalysis.sweeps.sweep import sweep
from qanalysis.training.row import MODEL, HistoryRow, HistoryTotal, TrackRow, TrackTotal
from qanalysis.validation.check import Check
from qanalysis.validation.table import tabulate_checks
from tests.charts.sensitivities import make_table

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SOURCE = SourceIdentity("tone.csv", 4096, "sha256:" + "0" * 64)
DATA = Path(__file__).parents[1] / "results" / "data"


def _sweep() -> Table[Any]:
    arrays = {
        "w": np.random.default_rng(1).normal(size=(8, 27)).astype(np.float32),
        "exact": np.float32([[1, -1]]),
        "ids": np.arange(3),
    }
    return sweep(arrays, ["int4", "int8 channel"])


def _record() -> Table[Any]:
    noise = np.random.default_rng(3).normal(
        size=4096
    )  # a harmonic without any power would be null in JSON, as one that can not be told
    codes = np.rint(2040 * np.sin(2 * np.pi * 127 * np.arange(4096) / 4096) + noise).astype(np.int64)
    row = describe_spectrum(analyze_spectrum(codes, SpectrumOptions(), fs_hz=1e6, bits=12), findings=())
    gates = [Gate("--min-enob", "enob_ieee", "at least", 20), Gate("--min-sinad", "sinad_db", "at least", 10)]
    return Table.from_rows(RecordRow, [row], totals=hold_gates(row, gates), source=SOURCE, settings={"bits": 12})


def _linearity() -> Table[Any]:
    row = describe_linearity(measure_linearity(np.repeat(np.arange(16), 20), bits=4))
    return Table.from_rows(
        LinearityRow,
        [row],
        totals=hold_gates(row, [Gate("--max-dnl", "dnl", "at most", 1, read_dnl)]),
        source=SOURCE,
        settings={"bits": 4},
    )


def _convert() -> Table[Any]:
    return Table.from_rows(
        TextbookRow, list_textbook_rows(solve_textbook(8, 0, 12, inputs=[4.5, 11])), settings={"bits": 8}
    )


def _show() -> Table[Any]:
    return list_tensors(
        ArraySource({"ids": np.arange(3), "w": np.ones((2, 3), np.float32), "\u202egpj.exe": np.ones(2, np.float32)})
    )


def _validate() -> Table[Any]:
    agreed = Check("int4", "torch", "2.13", "bit-exact", reached=0.0, required=0.0, values=8)
    return tabulate_checks(
        [
            agreed,
            Check("all", "gfloat", "", "bit-exact"),
            Check("far", "torch", "2.13", "dB", reached=float("inf"), required=1.0),
        ]
    )


def _train() -> Table[Any]:
    rows = [
        HistoryRow(configuration="int4", step=0, layer=MODEL, kind="training", loss=2.25, accuracy=0.125),
        HistoryRow(
            configuration="int4", step=0, layer="fc1", kind="weight", bits=4, s=-3, step_size=0.125, low=-0.875, high=0.875,
            flips=3, checked=True, event="absmax 1.5 ≥ pos 0.875: s −3 → −2", first_exponent=-9, exponent_counts=(2, 0, 1),
        ),
        HistoryRow(configuration="int4", step=1, layer=MODEL, kind="held-out", loss=1.5, accuracy=0.5),
    ]  # fmt: skip
    total = HistoryTotal(
        configuration="int4", steps=1, skipped_steps=0, final_loss=1.5, adjustments=1, checks=1, switches=0, flips=3
    )
    return Table.from_rows(HistoryRow, rows, totals=[total], settings={"seed": 0})


def _track() -> Table[Any]:
    row = TrackRow(
        configuration="up-step + down", step=4, layer="fc1", kind="input", bits=8, s=-6, absmax=1.5, checked=True,
        rounding_energy=2e-5, clipped_energy=0.0, energy_by="estimated", group="0",
    )  # fmt: skip
    total = TrackTotal(configuration="up-step + down", series=1, observations=1, checks=1, adjustments=0, clipping=0)
    return Table.from_rows(TrackRow, [row], totals=[total], source=SOURCE, settings={"rule": ["up-step + down"]})


def _forms() -> Table[Any]:
    shared: dict[str, Any] = {"samples": 20, "tokens": 20, "float_accuracy": 0.95}
    rows = [
        FormRow(
            form="W8", target="weights", bits=8, weight_scheme="int8 channel", size_bytes=1100, size_ratio=0.275,
            output_sqnr_db=45.5, output_sqnr_db_low=44.0, output_sqnr_db_high=47.0, output_relative_l2=0.0053,
            layer_error=0.004, layer_error_worst=0.006, worst_layer="fc<b>1", loss=0.25, loss_delta=-0.001,
            accuracy=0.95, accuracy_low=0.85, accuracy_high=1.0, **shared,
        ),
        FormRow(
            form="A4", target="activations", bits=4, activation_scheme="int4", size_bytes=4000, size_ratio=1.0,
            output_sqnr_db=float("inf"), output_relative_l2=0.0, accuracy=0.9, **shared,
        ),
        FormRow(
            form="W1A1", target="both", bits=1, weight_scheme="binary channel", activation_scheme="binary",
            repair="bias", size_bytes=200, size_ratio=0.05, status="failed", reason="the model does not run", **shared,
        ),
    ]  # fmt: skip
    return Table.from_rows(FormRow, rows, source=SOURCE, settings={"forms": ["W8", "A4", "W1A1"]})


def _plan() -> Table[Any]:
    return plan_bits(_sweep(), budget_bpw=40)


def _compare() -> Table[Any]:
    rows = [
        ComparisonRow(
            tensor_a="w", tensor_b="blk.0.w", role="weight", shape_a="2x4", shape_b="2x4", dtype_a="float32",
            dtype_b="q4_0", stored_b="gguf q4_0", size_bytes_a=32, size_bytes_b=18, matched_by="identical",
            sqnr_db=18.5, relative_l2=0.12, cosine=0.99, max_abs_error=0.5, theory_sqnr_db=19.0,
        ),
        ComparisonRow(tensor_a="exact", tensor_b="exact", sqnr_db=float("inf"), relative_l2=0.0, max_abs_error=0.0),
        ComparisonRow(tensor_a="lost<b>", status="only-a", reason="no name of B is its"),
    ]  # fmt: skip
    return Table.from_rows(ComparisonRow, rows, source=SOURCE, settings={"b": "model.gguf"})


def _verify() -> Table[Any]:
    arrays = {"w": np.float32([[1, -0.6], [0.25, 0.75]]), "more": np.ones((2, 2), np.float32)}
    return verify_plan(plan_bits(sweep({"w": arrays["w"]}, ["float16"]), budget_bpw=40), ArraySource(arrays))


def _compare_tables(make: Callable[[], Table[Any]]) -> Callable[[], Table[Any]]:
    def compare() -> Table[Any]:
        a = make()
        first = a.rows.take(np.arange(len(a)) < max(1, len(a) - 1))
        compared = compare_tables(a, replace(a, rows=first))
        return replace(compared, totals=Frame.from_rows(ConditionCheck, hold_all(compared, ["status!=ok"])))

    return compare


_COMPARED = {
    "sweep": _sweep,
    "sensitivity": make_table,
    "forms": _forms,
    "plan": _plan,
    "record": _record,
    "linearity": _linearity,
}

MAKERS: dict[str, Callable[[], Table[Any]]] = {
    "sweep": _sweep,
    "record": _record,
    "linearity": _linearity,
    "convert": _convert,
    "show": _show,
    "validate": _validate,
    "sensitivity": make_table,
    "train": _train,
    "track": _track,
    "forms": _forms,
    "plan": _plan,
    "compare": _compare,
    "verify": _verify,
    **{f"compare-{name}": _compare_tables(make) for name, make in _COMPARED.items()},
}


@pytest.fixture(scope="module", params=MAKERS)
def table(request: pytest.FixtureRequest) -> Table[Any]:
    return MAKERS[request.param]()


def test_every_kind_is_tried() -> None:
    assert set(MAKERS) == {row_type.KIND.command for row_type in load_kinds()}


@pytest.mark.parametrize("suffix", [".json", ".parquet", ".csv"])
def test_what_is_written_reads_back_equal(table: Table[Any], tmp_path: Path, suffix: str) -> None:
    again = read_result(write_report(table, tmp_path / f"x{suffix}", created=NOON))
    assert type(again) is type(table)
    assert again.rows == table.rows
    if suffix == ".csv":
        assert (len(again.totals), again.source.path) == (0, "x.csv")
    else:
        assert (again.totals, again.source, again.complete) == (table.totals, table.source, table.complete)
        assert again.settings == {**table.settings, "created": NOON.isoformat()}
    assert (
        write_report(again, tmp_path / f"y{suffix}", created=NOON).read_bytes()
        == (tmp_path / f"x{suffix}").read_bytes()
    )


def test_coverage_travels_with_the_rows(table: Table[Any], tmp_path: Path) -> None:
    covered = replace(table, coverage=({"role": "norm", "tensors": 62},), complete=False)
    for suffix in (".json", ".parquet"):
        again = read_result(write_report(covered, tmp_path / f"x{suffix}"))
        assert (list(again.coverage), again.complete) == ([{"role": "norm", "tensors": 62}], False)
    assert ">62</td>" in render_page(covered, created=NOON)


def test_the_document_follows_its_schema(table: Table[Any]) -> None:
    document = json.loads(to_json(table, created=NOON))
    schema = json.loads(files("qanalysis").joinpath(f"schema/{kind_of(table).schema}.schema.json").read_text("utf-8"))
    jsonschema.validate(document, schema, format_checker=jsonschema.FormatChecker())
    assert document["settings"]["command"] == kind_of(table).command
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "rows": [{**document["rows"][0], "more": 1}]}, schema)


def test_page_and_terminal_tell_the_same(table: Table[Any], capsys: pytest.CaptureFixture[str]) -> None:
    page, told = render_page(table, created=NOON), outline(table)
    print_result(table)
    printed = capsys.readouterr().out
    for section in (*told.lead, *told.rest):
        assert f'<section id="{section.id}"' in page
        if section.printed and section.heading.isascii():
            assert section.heading in printed
    assert "\u202e" not in page.replace("\\u202e", "") + printed
    assert 'id="definitions"' in page
    assert 'id="provenance"' in page


def test_what_can_not_be_measured_stands_at_the_end_of_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(_show())
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["w", "\\u202egpj.exe", "ids"]
    assert "1 tensor at the end can not be measured" in lines
    assert list(read_result_names(_show())) == ["ids", "w", "\u202egpj.exe"]


def read_result_names(table: Table[Any]) -> list[str]:
    return [row["tensor"] for row in json.loads(to_json(table))["rows"]]


def test_rows_of_a_sweep_are_asked_for_by_name(tmp_path: Path) -> None:
    path = write_report(_convert(), tmp_path / "x.json")
    with pytest.raises(
        ValueError, match=r"x\.json: holds a result of `qanalysis convert`, rows of a sweep are expected"
    ):
        read_rows(path)


@pytest.mark.parametrize("path", sorted(DATA.iterdir()), ids=lambda path: path.name)
def test_files_of_the_first_version_stay_readable(path: Path, tmp_path: Path) -> None:
    command = path.stem.removeprefix("old-").replace("rows", "sweep")
    table = read_result(path)
    assert kind_of(table).command == command
    if command == "sweep":
        assert [row.status for row in table] == ["ok"] * 4 + ["unsupported"] * 2
        assert table[2].sqnr_db == float("inf")
    again = read_result(write_report(table, tmp_path / f"again{path.suffix}"))
    assert again.rows == table.rows


# damage


def ask_report(path: Path) -> str:
    """What `report` says about a file that it must refuse: one line, exit 2, the path in it."""
    result = CliRunner().invoke(app, ["report", str(path), "--out", str(path.with_name("out.csv"))])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1), result.output
    assert path.name in result.stderr
    assert result.stderr.startswith("error: ")
    assert len(result.stderr) < 1000
    return result.stderr


HEADS: dict[str, Any] = {
    "list": [],
    "null-settings": {"settings": None},
    "list-command": {
        "schema_version": 1,
        "settings": {"command": ["record"]},
        "source": None,
        "rows": [],
        "totals": [],
    },
    "empty-record": {
        "schema_version": 1,
        "settings": {"command": "record"},
        "source": {"path": "x", "size": 1, "digest": None},
        "rows": [],
        "totals": [],
    },
    "no-source": {"schema_version": 1, "settings": {"command": "record"}, "source": None, "rows": [], "totals": []},
    "true-version": {
        "schema_version": True,
        "settings": {},
        "source": {"path": "x", "size": 1, "digest": None},
        "rows": [],
        "totals": [],
    },
    "unknown-command": {
        "schema_version": 1,
        "settings": {"command": "brew"},
        "source": None,
        "rows": [],
        "totals": [],
    },
    "bad-coverage": {
        "schema_version": 1,
        "settings": {},
        "source": {"path": "x", "size": 1, "digest": None},
        "coverage": [1],
        "rows": [],
        "totals": [],
    },
    "negative-size": {
        "schema_version": 1,
        "settings": {},
        "source": {"path": "x", "size": -1, "digest": None},
        "rows": [],
        "totals": [],
    },
    "text": "x",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=list(HEADS))
def test_an_odd_head_is_refused_in_json_and_in_parquet(head: Any, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(head))
    ask_report(tmp_path / "x.json")
    pq.write_table(
        pa.table({"a": [1]}).replace_schema_metadata({METADATA_KEY: json.dumps(head).encode()}), tmp_path / "x.parquet"
    )
    ask_report(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    "metadata", [b"x", b"\xff", b"[" * 100_000, b"9" * 6000], ids=["word", "bytes", "deep", "digits"]
)
def test_metadata_that_is_no_json_is_told_with_the_path(metadata: bytes, tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}).replace_schema_metadata({METADATA_KEY: metadata}), tmp_path / "x.parquet")
    assert "write" in ask_report(tmp_path / "x.parquet")


def test_damaged_pages_are_told_with_the_path(tmp_path: Path) -> None:
    path = write_report(_sweep(), tmp_path / "x.parquet")
    whole = path.read_bytes()
    for start in range(4, len(whole) - 4, 331):
        path.write_bytes(whole[:start] + b"\xff" * 40 + whole[start + 40 :])
        result = CliRunner().invoke(app, ["report", str(path), "--out", str(tmp_path / "out.csv")])
        assert result.exit_code in (0, 2), (start, result.exception)
        assert result.exit_code == 0 or (result.stderr.count("\n") == 1 and "x.parquet" in result.stderr), (
            start,
            result.stderr,
        )


def test_more_rows_than_are_read_are_refused_by_the_footer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_report(_sweep(), tmp_path / "x.parquet")
    monkeypatch.setattr(parquet, "MOST_ROWS", 5)
    assert "says that it has 6 rows, at most 5 are read; take fewer tensors or schemes" in ask_report(path)


def test_cells_of_wrong_types_are_told_by_column_in_parquet(tmp_path: Path) -> None:
    path = write_report(_sweep(), tmp_path / "x.parquet")
    table = pq.read_table(path)
    for name, cells, told in (
        ("mse", ["low"] * 6, "rows[0]: column mse holds 'low', must be a number or null"),
        ("bits", [4.5] * 6, "rows[0]: column bits holds 4.5, must be a 64-bit integer"),
        ("status", ["ok"] * 5 + ["fine"], "rows[5]: column status holds 'fine', must be one of ok"),
        ("tensor", ["w"] * 5 + [None], "rows[5]: column tensor holds None, must be text, not null"),
        ("mse", [0.0, float("nan"), *[None] * 4], "rows[1]: column mse holds nan"),
    ):
        place = table.column_names.index(name)
        pq.write_table(table.set_column(place, name, pa.array(cells)), path)
        assert told in ask_report(path)
    pq.write_table(table.drop_columns(["mse"]), path)
    assert "missing columns: ['mse'];" in ask_report(path)


NESTED = {
    "finding": (
        ("findings", [{"code": "clipping", "text": "x"}]),
        "column findings: not as it must be; missing columns: ['value']",
    ),
    "finding-value": (
        ("findings", [{"code": "c", "text": 5, "value": None}]),
        "column findings.text holds 5, must be text",
    ),
    "component": (("spur", {"name": "spur"}), "column spur: not as it must be; missing columns: ['alias_hz'"),
    "interval": (("sinad_ci95_db", [1.0]), "column sinad_ci95_db holds [1.0], must be a list of 2 or null"),
    "interval-text": (("sinad_ci95_db", ["a", "b"]), "column sinad_ci95_db holds 'a', must be a number"),
    "harmonics": (("harmonics", 7), "column harmonics holds 7, must be a list"),
    "flag": (("coherent", 1), "column coherent holds 1, must be true or false or null"),
}


@pytest.mark.parametrize(("change", "told"), NESTED.values(), ids=list(NESTED))
def test_nested_values_are_checked(change: tuple[str, Any], told: str, tmp_path: Path) -> None:
    document = json.loads(to_json(_record()))
    document["rows"][0][change[0]] = change[1]
    (tmp_path / "x.json").write_text(json.dumps(document))
    assert f"rows[0]: {told}" in ask_report(tmp_path / "x.json")


def _damage(value: Any, rng: random.Random) -> Any:
    """The value with something in it replaced."""
    odd = rng.choice([None, [], {}, "x" * 300, -1, 2**80, 1e308, True, [1, "a"], {"a": 1}, "\ud800", "=1"])
    if isinstance(value, dict) and value and rng.random() < 0.8:
        key = rng.choice(list(value))
        return (
            {**value, key: _damage(value[key], rng)}
            if rng.random() < 0.8
            else {name: part for name, part in value.items() if name != key}
        )
    if isinstance(value, list) and value and rng.random() < 0.8:
        place = rng.randrange(len(value))
        return [*value[:place], _damage(value[place], rng), *value[place + 1 :]]
    return odd


@pytest.mark.parametrize("seed", range(10))
def test_a_damaged_document_is_read_or_refused_in_one_line(seed: int, table: Table[Any], tmp_path: Path) -> None:
    rng = random.Random(seed)
    path = tmp_path / "x.json"
    path.write_text(json.dumps(_damage(json.loads(to_json(table)), rng)))
    result = CliRunner().invoke(
        app, ["report", str(path), "--out", str(tmp_path / "out.csv"), "--out", str(tmp_path / "out.html")]
    )
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (0, 2)
    assert result.exit_code == 0 or result.stderr.splitlines()[-1].startswith("error: ")
