"""`track`: rules over a log of statistics, its notes, files and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qanalysis.reports.report import read_result
from qanalysis.training.row import MODEL, TrackRow
from qanalysis.training.state import Command
from tests.commands.asking import ask, ask_json

SEQUENCE = [0.9, 3.0, 3.2, 12.0, 2.0, 0.7, 0.7, 0.7, 0.05]


@pytest.fixture(autouse=True)
def stats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    lines = [
        f"{step},fc{layer},input,{absmax},{absmax / 4},{absmax / 5}"
        for layer in (1, 2)
        for step, absmax in enumerate(SEQUENCE)
    ]
    Path("stats.csv").write_text("\n".join(["step,layer,kind,absmax,mean,std", *lines]))
    Path("bare.csv").write_text("\n".join(["step,layer,kind,absmax", *(line.rsplit(",", 2)[0] for line in lines[:9])]))
    return tmp_path / "stats.csv"


@pytest.mark.parametrize(
    ("rule", "exponents"),
    [
        pytest.param("up-step precision=s bits=8 + down n=3", [-7, -5, -5, -3, -4, -5, -6, -6, -7], id="row-26"),
        pytest.param("up-gradual + down", [-7, -6, -5, -4, -4, -5, -6, -6, -7], id="row-27"),
    ],
)
def test_the_sequence_worked_by_hand(rule: str, exponents: list[int]) -> None:
    document = ask_json("track", "bare.csv", "--rule", rule)
    assert [row["s"] for row in document["rows"]] == exponents
    assert document["settings"]["command"] == "track"
    assert document["source"]["path"] == "bare.csv"
    assert document["source"]["digest"].startswith("sha256:")
    assert [total["adjustments"] for total in document["totals"]] == [6]


def test_totals_and_events_are_printed_and_notes_stand_beside() -> None:
    result = ask("track", "bare.csv")
    assert result.exit_code == 0, result.stderr
    assert [line.split("  ")[0] for line in result.stdout.splitlines()[2:5]] == ["up-step + down", "ema", "counts"]
    assert "absmax 12 ≥ pos 3.969: s −5 → −3" in result.stdout
    assert "no --rule is given; taken are 'up-step + down', 'ema', 'counts'" in result.stderr
    assert "bare.csv: There is no column mean and std" in result.stderr
    assert "There is no column" not in result.stdout


def test_layers_and_kinds_are_chosen() -> None:
    rows = ask_json(
        "track", "stats.csv", "--rule", "ema", "--include", "fc", "--exclude", "1$", "--kind", "input,weight"
    )["rows"]
    assert {row["layer"] for row in rows} == {"fc2"}
    assert len(rows) == 9


@pytest.mark.parametrize("suffix", [".json", ".parquet", ".csv"])
def test_files_read_back_and_become_pages(suffix: str) -> None:
    assert (
        ask("track", "stats.csv", "--rule", "up-step + down", "--rule", "int4 + ema", "--out", f"x{suffix}").exit_code
        == 0
    )
    table = read_result(f"x{suffix}")
    assert table.row_type is TrackRow
    assert len(table) == 36
    assert ask("report", f"x{suffix}", "--out", "x.html", "--out", "y.csv").exit_code == 0
    page = Path("x.html").read_text("utf-8")
    assert "absmax 12 ≥ pos 3.969: s −5 → −3" in page
    assert "2 rules replayed over" in page


def test_a_folder_has_a_digest_of_its_files(tmp_path: Path) -> None:
    from qanalysis.training.statistics.identity import identify_statistics

    folder = tmp_path / "runs"
    folder.mkdir()
    (folder / "a").write_text("1")
    first = identify_statistics(folder)
    assert (first.path, first.size) == ("runs", 1)
    digest = first.digest
    (folder / "a").rename(folder / "b")
    again = identify_statistics(folder)
    assert digest != again.digest
    (folder / "b").unlink()
    assert identify_statistics(folder).size == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.csv"], "'none.csv' can not be read: No such file"),
        (["bare.csv", "--rule", "pact"], "rule 'pact': pact learns by gradient; statistics hold none"),
        (["bare.csv", "--rule", "ema + ewgs"], "ewgs corrects gradients, and statistics hold none"),
        (["bare.csv", "--rule", "up-distribution"], "bare.csv lacks mean and std; record them, or take up-step"),
        (["bare.csv", "--rule", "nonsense"], "rule 'nonsense' is unknown"),
        (["bare.csv", "--rule", ""], "rule '' has an empty part"),
        (["bare.csv", "--rule", "up-step foo=1"], "the word 'foo=1' is unknown"),
        (["bare.csv", "--rule", "ema", "--rule", "ema"], "rule 'ema' stands twice"),
        (["bare.csv", "--rule", "mxfp4"], "mxfp4 has blocks of 32 in a tensor, and bare.csv has one row per tensor"),
        (["bare.csv", "--rule", "up-step trigger=epoch"], "it is checked once per epoch; say how many steps one has, by --epoch N"),
        (["bare.csv", "--epoch", "0"], "an epoch of 0 steps"),
        (["bare.csv", "--epoch", "few"], "Invalid value for '--epoch'"),
        (["bare.csv", "--kind", "wgrad"], "kind 'wgrad' is unknown"),
        (["bare.csv", "--kind", "input,"], "--kind 'input,': a kind is empty"),
        (["bare.csv", "--kind", "weight"], "no row is left of the kinds and layers asked for"),
        (["bare.csv", "--include", "("], "include '(' is not a regular expression"),
        (["bare.csv", "--exclude", "fc"], "no row is left"),
        (["bare.csv", "--out", "x.pdf"], "suffix '.pdf' is unknown"),
        ([], "Missing argument 'STATS'"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_line(words: list[str], message: str) -> None:
    result = ask("track", *words)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert result.exit_code == 2
    assert message in result.stderr.splitlines()[-1]
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert not result.stdout


def test_row_17_a_document_holds_the_command_that_each_tensor_ends_with() -> None:
    rules = ["up-step + down", "up-step precision=f bits=4 round=half-up", "int8 asym + ema"]
    document = ask_json("track", "stats.csv", *(word for rule in rules for word in ("--rule", rule)))
    commands = document["commands"]
    assert [(one["rule"], one["layer"]) for one in commands] == [(rule, f"fc{i}") for rule in document["settings"]["rule"][:2] for i in (1, 2)]  # fmt: skip
    words = {name: commands[0][name] for name in ("kind", "type", "value", "bits", "rounding")}
    assert words == {"kind": "input", "type": "discrete", "value": -7, "bits": 8, "rounding": "nearest-even"}
    command = Command.from_json(json.dumps(words))
    assert command.step == document["rows"][8]["step_size"] == 2**-7
    real = {name: commands[2][name] for name in words}
    assert real == {"kind": "input", "type": "continuous", "value": pytest.approx(12 / 7), "bits": 4, "rounding": "half-up"}  # fmt: skip


def test_a_history_of_train_is_replayed_by_its_layers() -> None:
    text = 'model = "sample:digits-mlp"\n[defaults]\nsteps = 4\n'
    Path("x.toml").write_text(text + "".join(f'[[configuration]]\nname = "{name}"\nweight = "int4"\n' for name in "ab"))
    assert ask("train", "x.toml", "--out", "h.csv", "--out", "h.parquet").exit_code == 0
    as_csv, as_parquet = (ask_json("track", f"h.{suffix}", "--rule", "up-step") for suffix in ("csv", "parquet"))
    assert as_csv["rows"] == as_parquet["rows"]
    history = read_result("h.parquet")
    told = {
        (f"{row.configuration}: {row.layer}", row.kind, row.step): row.absmax for row in history if row.layer != MODEL
    }
    found = {(row["layer"], row["kind"], row["step"]): row["absmax"] for row in as_csv["rows"]}
    assert found == pytest.approx(told)
    assert "with what they saw, not with the ranges" in as_csv["coverage"][0]["note"]


def test_a_history_without_rows_of_layers_is_refused() -> None:
    Path("h.csv").write_text("configuration,step,layer,kind,absmax,strategy,grad_cosine\na,0,(model),float,,,\n")
    result = ask("track", "h.csv")
    assert result.exit_code == 2
    assert "h.csv: is a history without rows of layers; train with quantizers" in result.stderr
