"""Does it matter to a training how much of it is told?"""

from __future__ import annotations

import pytest

from qanalysis.results.table import Table
from qanalysis.training.configuration import Configuration, Experiment
from qanalysis.training.loop import train
from qanalysis.training.row import MODEL, HistoryRow


def train_told(record_every: int, weight: str) -> Table[HistoryRow]:
    words = {"steps": 8, "evaluate_every": 4, "record_every": record_every, "weight": weight, "input": "int8 + ema"}
    configuration = Configuration.from_words({"name": "a", "rate": 0.1, **words})
    return train(Experiment("sample:digits-mlp", None, (configuration,)))


def list_scores(history: Table[HistoryRow]) -> list[tuple[int, float]]:
    return [(row["step"], row["loss"]) for row in history.to_dicts() if row["kind"] == "held-out"]


# Those that look at what is remembered of each weight, and one that does not.
@pytest.mark.parametrize(
    "rule", ["ewgs", "averaged", "policy dwell=1 window=2", "freezing start=0 threshold=0.002 momentum=0.002"]
)
def test_a_training_is_the_same_however_often_it_is_told(rule: str) -> None:
    never, now_and_then, always = (train_told(every, f"int3 channel + minmax + {rule}") for every in (0, 3, 1))
    assert list_scores(never) == list_scores(now_and_then) == list_scores(always)
    assert {row["layer"] for row in never.to_dicts()} == {MODEL}
    assert {row["kind"] for row in never.to_dicts()} == {"float", "post-training", "held-out"}
    assert sorted({row["step"] for row in now_and_then.to_dicts() if row["kind"] == "weight"}) == [0, 3, 6, 7]


def test_where_nothing_is_told_nothing_is_counted() -> None:
    assert [total.flips for total in train_told(0, "int3").totals] == [0]
    assert all(total.flips > 0 for total in train_told(3, "int3").totals)
