"""Calibrations of the GGUF Tool Suite: measured cells stand as they are, 404 is no number, 0.0 is harmless."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from qanalysis.plans.candidates import Candidates
from qanalysis.plans.scores.catalogue import read_scores
from qanalysis.plans.scores.thireus import find_bits
from tests.plans.tables import sweep_candidates

SHAPES = {"blk.0.attn_q.weight": (8, 64), "blk.0.attn_k.weight": (8, 64), "output.weight": (8, 64)}
SCHEMES = ("int2 channel", "gguf:q4_0", "int6 channel", "gguf:q8_0")
HEAD = "QTYPE,blk.0.attn_q.weight,blk.0.attn_k.weight,output.weight"


def _score(folder: Path, *lines: str, schemes: Sequence[str] = SCHEMES) -> Candidates:
    path = folder / "kld_results.csv"
    path.write_text("\n".join(lines) + "\n")
    return read_scores(path, sweep_candidates(SHAPES, schemes))


def _costs(candidates: Candidates, place: int) -> np.ndarray:
    return candidates.options[place].costs


def test_measured_types_have_the_files_own_figure(tmp_path: Path) -> None:
    scored = _score(tmp_path, HEAD, "q4_0,0.5,0.25,0.125", "Q8_0,0.002,0.001,0.004")
    assert _costs(scored, 0)[[1, 3]].tolist() == [0.5, 0.002]
    assert _costs(scored, 2)[[1, 3]].tolist() == [0.125, 0.004]
    assert "6 candidates are types that the file measured" in scored.more["scores"]["notes"][0]


def test_other_schemes_lie_on_the_line_between_types(tmp_path: Path) -> None:
    """Between q4_0 (4.5 bits) and q8_0 (8.5 bits) the logarithm is a straight line over bits per weight; of the schemes
    up to its bits int6 has the least error, so the line's own value is its cost.
    """
    scored = _score(tmp_path, HEAD, "q4_0,0.5,0.25,0.125", "q8_0,0.002,0.001,0.004")
    one = scored.options[0]
    share = (one.bits[2] / one.tensor.numel - 4.5) / 4
    assert one.costs[2] == pytest.approx(math.exp((1 - share) * math.log(0.5) + share * math.log(0.002)), rel=1e-9)


def test_404_and_empty_cells_are_not_measured(tmp_path: Path) -> None:
    scored = _score(tmp_path, HEAD, "q4_0,404,0.25,0.125", "q8_0,404.0,,0.004")
    told = scored.more["scores"]
    assert told["unscored"] == {"blk.0.attn_q.weight": "was not measured (404)"}
    assert max(_costs(scored, 0)) < 10
    bits = scored.options[1].bits[3] / scored.options[1].tensor.numel
    assert _costs(scored, 1)[3] == pytest.approx(0.25 * 4.0 ** (4.5 - bits))


def test_0_is_measured_and_harmless(tmp_path: Path) -> None:
    scored = _score(tmp_path, HEAD, "q4_0,0.0,0.25,0.125")
    assert not _costs(scored, 0).any()
    assert scored.more["scores"]["unscored"] == {}


def test_perplexities_become_changes_of_the_loss(tmp_path: Path) -> None:
    """ln(8.8 / 8) and ln(12 / 8), with the row of the unchanged model; 0.0 stays harmless."""
    scored = _score(tmp_path, HEAD, "bf16,8,8,8", "q4_0,8.8,12,0.0")
    assert _costs(scored, 0)[1] == pytest.approx(math.log(1.1))
    assert _costs(scored, 1)[1] == pytest.approx(math.log(1.5))
    assert not _costs(scored, 2).any()
    assert "perplexity" in scored.objective.text


def test_without_an_unchanged_row_the_lowest_perplexity_stands_for_it(tmp_path: Path) -> None:
    scored = _score(tmp_path, HEAD, "q4_0,8,12,8")
    assert _costs(scored, 1)[1] == pytest.approx(math.log(1.5))
    assert not _costs(scored, 0).any()


def test_percent_and_other_separators_are_read(tmp_path: Path) -> None:
    scored = _score(tmp_path, HEAD.replace(",", ";"), "q4_0;50%;25 %;1%")
    assert _costs(scored, 0)[1] == 0.5
    assert _costs(scored, 1)[1] == 0.25


def test_unknown_types_are_left_out_and_told(tmp_path: Path) -> None:
    notes = _score(tmp_path, HEAD, "q4_0,0.5,0.25,0.125", "q9_x,1,1,1").more["scores"]["notes"]
    assert any("unknown types are left out: 'q9_x'" in note for note in notes)


@pytest.mark.parametrize(
    ("word", "bits"),
    [("q4_0", 4.5), ("Q4_K", 4.5), ("iq1_s_r4", 1.5), ("iq1_s", 1.5625), ("q8_k_r8", 8.0625), ("iq4_ks_r4", 4.25)],
)
def test_bits_of_a_type_count_its_blocks(word: str, bits: float) -> None:
    assert find_bits(word) == bits


def test_bits_are_those_of_the_formats_own_package() -> None:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

    sizes = {kind.name: 8 * size / block for kind, (block, size) in GGML_QUANT_SIZES.items()}
    known = {kind.name: find_bits(kind.name) for kind in GGMLQuantizationType if find_bits(kind.name)}
    assert len(known) > 20
    assert {name: sizes[name] for name in known} == known


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["QTYPE,group0", "q4_0,0.5"], "one column for the whole model"),
        ([HEAD], "has headings and no row"),
        ([HEAD, "q4_0,1,2"], "line 2 has 3 cells, the first one 4"),
        ([HEAD, "q4_0,1,2,x"], "line 2, 'output.weight': 'x' is no number"),
        ([HEAD, "q4_0,1,2,inf"], "is no number"),
        ([HEAD, "q4_0,1,2,3", "q4_0,1,2,3"], "type 'q4_0' has two rows"),
        (["QTYPE,a,a", "q4_0,1,2"], "none of them twice"),
        ([HEAD, "what,1,2,3"], "none of its types is one of GGUF: 'what'"),
        (["QTYPE,x,y", "q4_0,1,2"], "none of its names"),
        ([HEAD, "q4_0,404,404,404"], "has no figure for any tensor"),
    ],
    ids=["whole", "empty", "short", "word", "infinite", "twice", "columns", "types", "another-model", "unmeasured"],
)
def test_damaged_and_foreign_files_are_refused_on_one_line(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        _score(tmp_path, *lines)
    assert "\n" not in str(caught.value)
