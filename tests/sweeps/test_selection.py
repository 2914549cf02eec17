"""What is measured is chosen by role, then by what the user asks for; what is left out is counted with its reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.quantizers.matrix_view import MatrixView
from qanalysis.reports.summary import list_notes, tell_selection
from qanalysis.sweeps.selection import NO_MATRIX, ONLY_VECTORS, Filter, parse_axes, select_tensors
from qanalysis.sweeps.sweep import sweep


def info(name: str, *shape: int, **facts: Any) -> TensorInfo:
    return TensorInfo(name, shape, facts.pop("dtype", "float32"), 4, **facts)


MODEL = (
    info("embed.weight", 100, 8, role="embedding"),
    info("fc.weight", 4, 8),
    info("scale_of_one", 1, 8),
    info("norm.weight", 8, role="norm"),
    info("fc.bias", 4, role="bias"),
    info("steps", role="buffer", dtype="int64", decodes=False),
    info("exl", 4, 8, decodes=False, reason="already quantized (EXL2)"),
    info("state.0.exp_avg", 4, 8, role="optimizer"),
)


def names(wanted: Filter | None = None, **options: Any) -> list[str]:
    return [found.name for found in select_tensors(MODEL, wanted, **options).tensors]


def test_weights_and_embeddings_of_two_axes_are_measured_and_so_are_those_that_can_not_be() -> None:
    assert names() == ["embed.weight", "fc.weight", "exl"]
    assert names(vectors=True) == ["embed.weight", "fc.weight", "scale_of_one", "exl"]


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (Filter(roles="all"), [found.name for found in MODEL]),
        (Filter(roles=("norm", "bias")), ["norm.weight", "fc.bias"]),
        (Filter(roles=("weight",)), ["fc.weight", "scale_of_one", "exl"]),
        (Filter(include="fc"), ["fc.weight"]),
        (Filter(exclude="embed|exl"), ["fc.weight"]),
        (Filter(roles="all", include="^fc", exclude="bias$"), ["fc.weight"]),
    ],
)
def test_the_filter_leaves(wanted: Filter, left: list[str]) -> None:
    assert names(wanted) == left


def test_what_is_left_out_is_counted_by_role_and_reason() -> None:
    found = select_tensors(MODEL, Filter(exclude="exl"), notes=("one shard of two",))
    assert {(one.role, one.reason): (one.tensors, one.values) for one in found.left_out} == {
        ("weight", NO_MATRIX): (1, 8),
        ("norm", "role norm is not measured unless asked for"): (1, 8),
        ("bias", "role bias is not measured unless asked for"): (1, 4),
        ("buffer", "role buffer is not measured unless asked for"): (1, 1),
        ("optimizer", "role optimizer is not measured unless asked for"): (1, 32),
        ("weight", "matched by exclude"): (1, 32),
    }
    coverage = found.to_coverage()
    assert coverage[0] == {
        "part": "measured",
        "role": "embedding, weight",
        "reason": "",
        "tensors": 2,
        "values": 832,
    }
    assert list_notes(coverage) == ["one shard of two"]
    assert tell_selection(coverage) == (
        "2 of 8 tensors, 832 of 917 values; left out: "
        "1 weight (fewer than two axes longer than 1), 1 norm, 1 bias, 1 buffer, 1 tensor of optimizer state, "
        "1 weight (matched by exclude)"
    )


def test_where_all_weights_are_vectors_they_are_measured() -> None:
    found = select_tensors([info("w", 1, 5), info("b", 5, role="bias")])
    assert ([one.name for one in found.tensors], found.notes) == (["w"], [ONLY_VECTORS])


def test_nothing_known_is_nothing_told() -> None:
    assert tell_selection([]) == ""
    assert tell_selection([{"role": "norm", "tensors": 62}]) == ""


@pytest.mark.parametrize(
    ("wanted", "rule"),
    [
        (Filter(include="bias"), "1 of role bias"),
        (Filter(include="exp_avg"), "optimizer state only"),
        (Filter(roles=("average",)), "none of the 8 chosen tensors"),
        (Filter(include="nothing"), "matches none of the 8 tensors"),
        (Filter(exclude=""), None),
    ],
)
def test_a_filter_that_leaves_nothing_says_what_there_is(wanted: Filter, rule: str | None) -> None:
    if rule is None:
        assert names(wanted)
        return
    with pytest.raises(ValueError, match=rule):
        select_tensors(MODEL, wanted)


def test_unknown_roles_and_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="role 'weights' is unknown; roles are weight, embedding"):
        Filter(roles=("weights",))
    with pytest.raises(ValueError, match=r"roles 'weight' is one text: write a list, such as \['weight', 'norm'\], or"):
        Filter(roles="weight")  # as a caller without a checker of types may write it
    for text in ("c_attn", "=1", "a=x", "a=1;2"):
        with pytest.raises(ValueError, match="ax"):
            parse_axes([text])
    with pytest.raises(ValueError, match="axis 7 of a tensor with 2 dimensions"):
        select_tensors(MODEL, Filter(axis={"fc": 7}))
    with pytest.raises(ValueError, match="axis 'head' matches none"):
        select_tensors(MODEL, Filter(axis={"head": 0}))


def test_axes_turn_the_view_of_the_tensors_that_match_the_last_one_counts() -> None:
    found = select_tensors(MODEL, Filter(axis={"weight": "1", "embed": (0,)})).tensors
    assert [one.view for one in found] == [MatrixView((0,)), MatrixView((1,)), MatrixView((0,))]


def test_a_sweep_measures_along_the_axes_asked_for() -> None:
    x = (np.random.default_rng(0).standard_normal((6, 40)) * np.exp(np.arange(40) / 8)).astype(np.float32)
    turned, plain = sweep({"w": x}, ["int4 channel"], axis={"w": 1}), sweep({"w": x.T.copy()}, ["int4 channel"])
    assert turned[0].sqnr_db == plain[0].sqnr_db
    assert turned.settings["axis"] == {"w": "1"}
    assert turned[0].sqnr_db > sweep({"w": x}, ["int4 channel"])[0].sqnr_db + 3


def test_rows_and_totals_speak_of_the_same_tensors() -> None:
    x = np.ones((2, 3), np.float32)
    rows = sweep({"w": x, "v": np.ones(3, np.float32)}, ["int4"], weights_only=True)
    assert ([row.tensor for row in rows], rows.totals[0].numel) == (["w"], 6)
    assert (rows[0].role, rows[0].stored, rows.totals[0].role) == ("weight", "", "")


def test_tensors_of_several_names_are_told() -> None:
    tied = TensorInfo("embed.weight", (8, 4), "float32", 128, aliases=("head.weight", "dec.weight"))
    told = "tied: 1 of the tensors, each counted once, have other names too: 'embed.weight' is also 'head.weight'"
    assert list(select_tensors([tied]).notes) == [told]
    assert list(select_tensors([replace(tied, aliases=())]).notes) == []


def test_forty_kinds_of_what_is_left_out_stay_one_line() -> None:
    kinds = [
        {"part": "left out", "role": "buffer", "reason": f"kind {place}", "tensors": place + 1, "values": 10}
        for place in range(40)
    ]
    told = tell_selection([{"part": "measured", "role": "weight", "reason": "", "tensors": 3, "values": 90}, *kinds])
    assert told.startswith("3 of 823 tensors, 90 of 490 values; left out: 40 buffers (kind 39), 39 buffers (kind 38), ")
    assert told.endswith(f", 33 buffers (kind 32), {sum(range(1, 33))} of 32 other kinds")


def test_close_counts_are_told_to_the_last_digit() -> None:
    measured = {"part": "measured", "role": "weight", "reason": "", "tensors": 13, "values": 1_566_720}
    left = {"part": "left out", "role": "norm", "reason": "role norm is not", "tensors": 5, "values": 1_280}
    assert tell_selection([measured, left]) == "13 of 18 tensors, 1,566,720 of 1,568,000 values; left out: 5 norms"


def test_what_can_not_be_measured_is_counted_apart() -> None:
    coverage = select_tensors(MODEL).to_coverage()
    assert coverage[1] == {
        "part": "without figures",
        "role": "weight",
        "reason": "already quantized (EXL2)",
        "tensors": 1,
        "values": 32,
    }
    assert tell_selection(coverage).startswith(
        "2 of 8 tensors, 832 of 917 values; without figures: 1 weight (already quantized (EXL2)); left out: "
    )


def test_axes_that_match_nothing_name_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"their names begin with 'embed.weight', 'fc.weight', 'exl'$"):
        select_tensors(MODEL, Filter(axis={"attn": 1}))
