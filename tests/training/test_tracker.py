"""Rules replayed over statistics: the worked numbers of A6, A7 and A11 to A14, laws, refusals, and speed by columns."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.quantizers.passing import pass_through
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range
from qanalysis.results.table import Table
from qanalysis.training.recipe import Recipe
from qanalysis.training.row import TrackRow
from qanalysis.training.scopes import choose_series
from qanalysis.training.statistics.arranging import arrange_log
from qanalysis.training.statistics.log import StatisticsLog
from qanalysis.training.tracker import replay

SEQUENCE = [0.9, 3.0, 3.2, 12.0, 2.0, 0.7, 0.7, 0.7, 0.05]
W1, W2 = np.array([[0.5, -0.2], [0.1, 3.0]]), np.array([[0.02, -0.04], [0.08, 0.01]])


def make_log(layer="fc", kind="input", **columns) -> StatisticsLog:
    count = len(columns["absmax"])
    texts = {"layer": layer, "kind": kind}
    spread = {name: [text] * count if isinstance(text, str) else text for name, text in texts.items()}
    return arrange_log({"step": np.arange(count), **spread, **columns})


def run(log: StatisticsLog, *rules: str, **options) -> Table[TrackRow]:
    return replay(log, [Recipe.parse(rule) for rule in rules], **options)


@pytest.mark.parametrize(
    ("rule", "exponents"),
    [
        pytest.param("up-step bits=8 + down n=3", [-7, -5, -5, -3, -4, -5, -6, -6, -7], id="row-26 row-30 up in one step"),
        pytest.param("up-gradual + down", [-7, -6, -5, -4, -4, -5, -6, -6, -7], id="row-27 gradually"),
    ],
)  # fmt: skip
def test_the_sequence_of_the_specification(rule: str, exponents: list[int]) -> None:
    table = run(make_log(absmax=SEQUENCE), rule)
    assert [row.s for row in table] == exponents
    assert [row.high for row in table] == [127 * 2.0**s for s in exponents]
    assert (table.totals[0].adjustments, table.totals[0].checks, table.totals[0].observations) == (6, 9, 9)
    assert [bool(row.event) for row in table] == [a != b for a, b in zip(exponents, [-7, *exponents[:-1]], strict=True)]
    assert table.totals[0].clipping == sum(a > 127.5 * 2.0**s for a, s in zip(SEQUENCE, exponents, strict=True))


def observe(w: np.ndarray, layer: str, *, grouped: bool) -> list[dict]:
    parts = list(w) if grouped else [w]
    return [
        {
            "step": 0,
            "layer": layer,
            "kind": "weight",
            "group": str(number) if grouped else "",
            "absmax": np.abs(part).max(),
            "absmin": np.abs(part).min(),
            "mean": np.abs(part).mean(),
            "std": np.abs(part).std(),
            "numel": part.size,
        }
        for number, part in enumerate(parts)
    ]


def log_of(*weights: np.ndarray, grouped: bool = True) -> StatisticsLog:
    lines = [line for number, w in enumerate(weights, 1) for line in observe(w, f"W{number}", grouped=grouped)]
    return arrange_log({name: [line[name] for line in lines] for name in lines[0]})


@pytest.mark.parametrize(
    ("scope", "exponents", "rms"),
    [
        pytest.param("all", [-5, -5], 0.00927025, id="row-31 all layers"),
        pytest.param("layer", [-5, -10], 0.00494463, id="row-32 per layer"),
        pytest.param("group", [-7, -5, -11, -10], 0.00247212, id="row-33 per group"),
    ],
)
@pytest.mark.parametrize("grouped", [True, False], ids=["from groups", "from tensors"])
def test_where_the_largest_value_is_looked_for(scope: str, exponents: list[int], rms: float, grouped: bool) -> None:
    if scope == "group" and not grouped:
        pytest.skip("tensors do not tell their groups")
    recipe = Recipe.parse(f"up-step scope={scope}")
    rows = replay(log_of(W1, W2, grouped=grouped), [recipe])
    assert [row.s for row in rows] == exponents
    squares = []
    for layer, w in (("W1", W1), ("W2", W2)):
        high = np.float32([row.high for row in rows if row.layer == layer])
        layout = recipe.scheme.lay_out(w.shape)
        passed = pass_through(np.float32(w), recipe.scheme.lay_grid(Range(-high, high)), layout)
        squares.append((w - passed.y) ** 2)
    assert np.sqrt(np.mean(squares)) == pytest.approx(rms, rel=1e-6)


def test_row_34_the_smallest_magnitude_and_the_dead_zone() -> None:
    x = np.array([0.3, -0.01, 0.04, 0, -0.2, 0.02])
    log = make_log(absmax=[0.3], absmin=[np.abs(x[x != 0]).min()])
    (row,) = run(log, "up-step precision=f")
    assert row.absmin == pytest.approx(0.01, rel=1e-12)
    # D = 0.1: pos = 0.3 = 3 D of 3 bits; what lies below half a step becomes 0.
    fitted = Scheme.parse("int3").fit(np.float32(x))
    assert fitted.step[0] == pytest.approx(0.1, rel=1e-6)
    dead = (np.abs(x) > 0) & (fitted.round_trip(np.float32(x)) == 0)
    assert dead.mean() == 0.5


def test_choosing_keeps_kinds_and_layers() -> None:
    log = log_of(W1, W2)
    assert set(choose_series(log, include="2").layer) == {"W2"}
    assert set(choose_series(log, exclude="2", kinds=["weight"]).layer) == {"W1"}
    with pytest.raises(ValueError, match="no row is left of the kinds and layers asked for; it has layers W1, W2"):
        choose_series(log, include="x")
    with pytest.raises(ValueError, match="kind 'wgrad' is unknown; kinds are input, output"):
        choose_series(log, kinds=["wgrad"])
    with pytest.raises(ValueError, match=r"include '\(' is no regular expression"):
        choose_series(log, include="(")
