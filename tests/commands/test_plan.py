"""`plan` as a person meets it: a plan on standard output, files, a document, and mistakes on one line."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.reports.report import read_result, write_report
from qanalysis.results.table import Table
from tests.commands.asking import ask

CONFIG = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 64, "max_position_embeddings": 128}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(3).normal
    arrays = {f"h.{block}.{one}_proj": draw(size=(8, 64)) for block in (0, 1) for one in ("q", "k")}
    np.savez("model.npz", **{name: one.astype(np.float32) for name, one in arrays.items()}, norm=np.ones(9, np.float32))
    np.savez(
        "other.npz", **{name: 2 * one.astype(np.float32) for name, one in arrays.items()}, norm=np.ones(9, np.float32)
    )
    schemes = [word for scheme in ("int2 channel", "int4 channel", "int8 channel") for word in ("--scheme", scheme)]
    outputs = [word for suffix in ("json", "csv", "parquet") for word in ("--out", f"rows.{suffix}")]
    assert ask("sweep", "model.npz", *schemes, *outputs).exit_code == 0
    assert ask("sweep", "other.npz", *schemes, "--out", "others.json").exit_code == 0
    Path("config.json").write_text(json.dumps(CONFIG))
    return tmp_path


@pytest.fixture
def sensitivities(here: Path) -> Path:
    """What two tensors cost under two schemes; `partial.json` holds the same, cancelled."""
    costs = {("h.0.q_proj", "int4 channel"): 4e-3, ("h.0.q_proj", "int8 channel"): 1e-5}
    costs |= {("h.0.k_proj", "int4 channel"): 2e-3, ("h.0.k_proj", "int8 channel"): 1e-5}
    rows = [
        SensitivityRow(
            layer=name.rpartition(".")[0], tensor=name, target="weights", mode="enable-one", scheme=scheme,
            bits_per_weight=float(scheme[3]), size_bytes=64 * int(scheme[3]), output_nsr=cost, output_kl=cost / 2,
            output_relative_l2=cost**0.5, output_sqnr_db=float(-10 * np.log10(cost)), samples=4, tokens=4,
        )
        for (name, scheme), cost in costs.items()
    ]  # fmt: skip
    table: Table[Any] = Table.from_rows(SensitivityRow, rows, source=None)
    source = read_result("rows.json").source
    write_report(Table(table.rows, table.totals, source), "sens.json")
    write_report(Table(table.rows, table.totals, source, complete=False), "partial.json")
    return here


def test_the_plan_is_printed_after_the_reach(here: Path) -> None:
    result = ask("plan", "rows.json", "--budget-bpw", "5")
    assert result.exit_code == 0, result.stderr
    assert "reach: 2.5 bits per weight" in result.stderr
    assert "h.0.q_proj" in result.stdout


@pytest.mark.parametrize("rows", ["rows.json", "rows.csv", "rows.parquet"])
def test_rows_of_every_form_make_the_same_plan(here: Path, rows: str) -> None:
    result = ask("plan", rows, "--budget-bpw", "5", "--source", "model.npz", "--out", "plan.json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(Path("plan.json").read_text())
    schema = json.loads(files("qanalysis").joinpath("results/schema/plan.schema.json").read_text("utf-8"))
    jsonschema.validate(document, schema)
    assert document["kept_float"] == {"norm": 36}
    assert len(document["assignments"]) == 4


def test_the_document_alone_is_on_standard_output(here: Path) -> None:
    result = ask("plan", "rows.json", "--budget-bytes", "1.5kB", "--json")
    document = json.loads(result.stdout)
    assert document["bytes"] <= 1500
    assert document["proof"]["proven"]


def test_every_file_is_written_and_read_again(here: Path) -> None:
    outputs = [f"plan.{suffix}" for suffix in ("json", "csv", "html", "parquet")]
    result = ask("plan", "rows.json", "--min-sqnr", "15", *(word for out in outputs for word in ("--out", out)))
    assert result.exit_code == 0, result.stderr
    assert len({tuple(row.scheme for row in read_result(out)) for out in outputs if "html" not in out}) == 1
    assert ask("report", "plan.json", "--out", "again.html").exit_code == 0


def test_a_cache_takes_its_part_of_what_fits(here: Path) -> None:
    # 2 · 2 layers · 2 heads · 32 numbers · 100 tokens · 2 bytes = 51,200 bytes.
    asked = ("plan", "rows.json", "--fit-gib", f"{(51_200 + 36 + 1500) / 2**30!r}", "--config", "config.json")
    result = ask(*asked, "--context", "100", "--out", "plan.json")
    assert result.exit_code == 0, result.stderr
    document = json.loads(Path("plan.json").read_text())
    assert document["constraints"]["parts"]["cache"]["bytes"] == 51_200
    assert document["bytes"] <= 1536
    result = ask(*asked, "--context", "200")
    assert result.exit_code == 2
    assert "102,400 those of keys and values" in result.stderr


def test_partial_rows_are_warned_of(sensitivities: Path) -> None:
    result = ask("plan", "partial.json", "--budget-bpw", "6", "--out", "plan.json")
    assert result.exit_code == 0, result.stderr
    assert "warning: the rows are partial" in result.stderr
    assert json.loads(Path("plan.json").read_text())["settings"]["complete"] is False


def test_a_sensitivity_is_planned_by_its_own_damages(sensitivities: Path) -> None:
    assert ask("plan", "sens.json", "--budget-bpw", "6", "--out", "plan.json").exit_code == 0
    document = json.loads(Path("plan.json").read_text())
    assert document["assignments"] == {"h.0.q_proj": "int8 channel", "h.0.k_proj": "int4 channel"}
    assert (document["objective_column"], document["objective"]) == ("output_nsr", pytest.approx(2.01e-3, rel=1e-12))


WRONG: dict[str, tuple[str, str]] = {
    "no-budget": ("rows.json", "a plan needs a budget"),
    "two-budgets": ("rows.json --budget-bpw 4 --min-sqnr 9", "a plan has one budget"),
    "zero": ("rows.json --budget-bpw 0", "a budget is above zero"),
    "negative": ("rows.json --budget-bytes -5GB", "is no number of bytes"),
    "bits-as-bytes": ("rows.json --budget-bytes 4.5", "did you mean --budget-bpw 4.5"),
    "bytes-as-bits": ("rows.json --budget-bpw 4000000", "did you mean --budget-bytes 4000000"),
    "infeasible": ("rows.json --budget-bpw 1", "give 2.5 or more"),
    "other-sources": ("rows.json others.json --budget-bpw 5", "the tables are of different sources"),
    "other-kinds": ("rows.json sens.json --budget-bpw 5", "do not go into one plan"),
    "other-file": ("rows.json --budget-bpw 5 --source other.npz", "whose content is another"),
    "other-tensors": ("rows.csv --budget-bpw 5 --source sample:digits-mlp", "has no such tensor for 'h.0.q_proj'"),
    "other-size": ("rows.json --budget-bpw 5 --source sample:digits-mlp", "not of 'sample:digits-mlp' that has"),
    "a-plan": ("plan.json --budget-bpw 5", "these are of `qanalysis plan`"),
    "no-file": ("none.json --budget-bpw 5", "none.json: no such file"),
    "pins": ("rows.json --budget-bpw 5 --pin q_proj=int8 --pin .=int4", "pins contradict each other"),
    "contradiction": ("rows.json --budget-bpw 5 --pin q=channel,int8", "REGEX=SCHEME is expected"),
    "objective": ("rows.json --budget-bpw 5 --objective enob", "does not add over tensors"),
    "cache": ("rows.json --fit-gib 1 --config rows.csv", "not valid JSON"),
    "no-config": ("rows.json --fit-gib 1 --context 5", "give --config config.json"),
    "cache-type": ("rows.json --fit-gib 1 --config config.json --kv-dtype x", "type of the cache 'x'"),
    "pool": ("rows.json --pool gpu=1GiB:q_proj", "lie in no pool"),
    "scores": ("rows.json --budget-bpw 5 --scores config.json", "is no score file that is known here"),
    "no-scores": ("rows.json --budget-bpw 5 --scores none.json", "none.json"),
    "model-alone": ("rows.json --budget-bpw 5 --model sample:digits-mlp", "--model and --calib go together"),
    "other-model": ("sens.json --budget-bpw 6 --model sample:digits-mlp --calib sample", "the plan is of 'model.npz'"),
    "no-time": ("rows.json --budget-bpw 5 --time-limit 0", "must be a number of seconds above zero"),
    "seed": ("rows.json --budget-bpw 5 --seed -1", "seed -1: must be a whole number"),
    "resamples": ("rows.json --budget-bpw 5 --resamples 0", "resamples 0: must be a whole number, 1 or more"),
    "suffix": ("rows.json --budget-bpw 5 --out plan.txt", "suffix '.txt' is unknown"),
}


def test_every_mistake_is_one_line(sensitivities: Path) -> None:
    assert ask("plan", "rows.json", "--budget-bpw", "5", "--out", "plan.json").exit_code == 0
    for name, (words, told) in WRONG.items():
        result = ask("plan", *words.split(" "))
        lines = [line for line in result.stderr.splitlines() if not line.startswith("reach: ")]
        assert (result.exit_code, len(lines)) == (2, 1), (name, result.output)
        assert told in lines[0], (name, lines)


def test_no_row_with_a_figure_is_no_candidate(sensitivities: Path) -> None:
    table = read_result("sens.json")
    rows = list(table)
    cut = [type(row)(**{**row.to_dict(), "output_kl": None}) if "k_proj" in row.tensor else row for row in rows]
    write_report(Table.from_rows(SensitivityRow, cut, source=table.source), "cut.json")
    result = ask("plan", "cut.json", "--budget-bpw", "6", "--objective", "output_kl")
    assert result.exit_code == 2
    assert "'h.0.k_proj': no ok row has a figure of output_kl" in result.stderr
    result = ask("plan", "cut.json", "--budget-bpw", "6", "--objective", "output_kl", "--exclude", "k_proj")
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--kv-dtype", "fp8"), "--kv-dtype is that of a cache"),
        (("--objective", ""), "objective '': is no column"),
        (("--tie", ""), "tie '': the expression is empty"),
        (("--exclude", ""), "exclude '': the expression is empty"),
        (("--samples", "3"), "--samples is for the run of a model"),
        (("--batch", "3"), "--batch is for the run of a model"),
        (("--pool", "gpu=8GiB:nowhere"), "pool 'gpu': 'nowhere' matches none of the"),
    ],
    ids=[
        "type-of-no-cache",
        "objective-without-a-name",
        "tie-of-nothing",
        "exclusion-of-nothing",
        "samples-of-no-run",
        "batch-of-no-run",
        "pool-of-nothing",
    ],
)
def test_options_that_would_do_nothing_are_refused(here: Path, words: tuple[str, ...], told: str) -> None:
    done = ask("plan", str(here / "rows.json"), "--budget-bpw", "4", *words)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {told}")


def test_rows_of_csv_alone_warn_that_what_is_kept_float_is_unknown(here: Path) -> None:
    alone = ask("plan", "rows.csv", "--budget-bpw", "5", "--out", "plan.json")
    whole = ask("plan", "rows.csv", "--budget-bpw", "5", "--source", "model.npz", "--out", "plan.json")
    assert [done.stderr.count("kept float are unknown and not counted; --source FILE") for done in (alone, whole)] == [
        1,
        0,
    ]


def test_rows_are_never_written_over(here: Path) -> None:
    rows = here / "rows.json"
    before = rows.read_bytes()
    done = ask("plan", str(rows), "--budget-bpw", "4", "--out", str(rows.parent / "." / rows.name))
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "is a file that is read" in done.stderr
    assert rows.read_bytes() == before
