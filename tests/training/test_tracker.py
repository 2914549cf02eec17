"""Rules replayed over statistics: the worked numbers of A6, A7 and A11 to A14, laws, refusals, and speed by columns."""

from __future__ import annotations

import numpy as np
import pytest

from qanalysis.quantizers.passing import pass_through
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range
from qanalysis.results.table import Table
from qanalysis.training.recipe import Recipe
from qanalysis.training.replays.scopes import choose_series
from qanalysis.training.row import TrackRow
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
def test_the_sequence_worked_by_hand(rule: str, exponents: list[int]) -> None:
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
    ("scope", "grouped", "exponents", "rms"),
    [
        pytest.param("all", False, [-5, -5], 0.00927025, id="row-31 all layers"),
        pytest.param("all", True, [-5, -5], 0.00927025, id="row-31 all layers, of which groups are known"),
        pytest.param("layer", False, [-5, -10], 0.00494463, id="row-32 per layer"),
        pytest.param("layer", True, [-5, -10], 0.00494463, id="row-32 per layer, of which groups are known"),
        pytest.param("group", True, [-7, -5, -11, -10], 0.00247212, id="row-33 per group"),
    ],
)
def test_where_the_largest_value_is_looked_for(scope: str, grouped: bool, exponents: list[int], rms: float) -> None:
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
    with pytest.raises(ValueError, match=r"include '\(' is not a regular expression"):
        choose_series(log, include="(")


def test_every_column_of_a_row_is_as_worked_by_hand() -> None:
    log = make_log(absmax=[2.0, 4.0], mean=[0.5, 0.5], std=[0.25, 0.25], numel=[1000, 1000], non_finite=[0, 10])
    first, second = run(log, "int4 + hold precision=f")
    assert (first.bits, first.s, first.low, first.high, first.event) == (4, None, -2.0, 2.0, "")
    assert first.f == first.step_size == pytest.approx(2 / 7, rel=1e-7)
    assert (first.clipped_fraction, first.clipped_energy) == (0, 0)
    # Steps are near one deviation: step^2/12 up to the first harmonic, below e^-2 of it.
    assert first.rounding_energy == pytest.approx((2 / 7) ** 2 / 12, rel=0.1)
    assert second.numel == 990
    assert second.clipped_fraction == pytest.approx(1 / 990)  # of the law less lies there, but one element does
    assert second.clipped_energy == pytest.approx((4 - 2) ** 2 / 990, rel=1e-6)
    assert [second.energy_by, first.energy_by] == ["gamma law", "gamma law; clipping exact"]


def test_totals_are_sums_over_the_rows() -> None:
    log = make_log(absmax=[2.0, 4.0, 8.0], mean=[0.5, 0.5, 1.0], std=[0.25, 0.3, 1.0], numel=[100, 100, 300])
    table = run(log, "int4 + ema", "int8 + hold")
    for total in table.totals:
        rows = [row for row in table if row.configuration == total.configuration]
        signal = sum(row.numel * (row.mean**2 + row.std**2) for row in rows)
        rounding = sum(row.numel * row.rounding_energy for row in rows) / signal
        clipped = sum(row.numel * row.clipped_energy for row in rows) / signal
        assert total.relative_rounding_energy == pytest.approx(rounding, rel=1e-12)
        assert total.relative_clipped_energy == pytest.approx(clipped, rel=1e-12)
        assert total.sqnr_db == pytest.approx(-10 * np.log10(rounding + clipped), rel=1e-12)
    assert [(total.series, total.observations) for total in table.totals] == [(1, 3), (1, 3)]


@pytest.mark.parametrize("rule", ["int8 + minmax", "int4 asym + minmax", "fp8_e4m3 + minmax", "int3 sym-full + minmax"])
def test_energies_are_near_those_of_the_elements(rule: str) -> None:
    x = np.float32(np.random.default_rng(4).laplace(size=100_000))
    recipe = Recipe.parse(rule)
    fitted = recipe.scheme.fit(x)
    true = np.mean((fitted.round_trip(x).astype(np.float64) - x) ** 2)
    a = np.abs(x.astype(np.float64))
    columns = {"absmax": a.max(), "mean": a.mean(), "std": a.std(), "low": x.min(), "high": x.max(), "numel": x.size}
    (row,) = replay(make_log(**{name: [value] for name, value in columns.items()}), [recipe])
    # Both signs share one law here; a sample's moments stray by below 1 %, octaves of few steps by some percent.
    assert row.rounding_energy + row.clipped_energy == pytest.approx(true, rel=0.05)
    assert row.step_size == pytest.approx(float(fitted.step.max()), rel=1e-6)


ODD = {
    "zeros": [0.0, 0.0, 0.0],
    "one": [1.0],
    "holes": [1.0, np.nan, 2.0],
    "overflow": [1.0, np.inf, 2.0],
    "never": [np.nan, np.inf],
    "tiny": [1e-30, 1e-38, 1e-40],
    "huge": [1e30, 3e38, 1e300],
    "from zeros": [0.0, 1.0, 0.0, 2.0],
}
RULES = [
    "minmax", "minmax running=yes", "ema", "counts", "hold", "hold precision=f + down", "up-step", "up-step + down", "up-gradual precision=f + down",
    "up-step exponent=source scope=all", "up-distribution", "up-distribution-gradual + down", "int4 asym + ema", "fp8_e5m2 + up-step",
    "up-step trigger=doubling:4", "up-step trigger=never", "up-step + average", "up-step + width-growth", "up-step + average + width-growth",
    "counts update=coefficient", "int4 scale=pow2 + minmax", "fp4_e2m1", "nf4 tensor", "bfloat16", "int16 + ema", "int8 round=stochastic:1 + ema",
]  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("moments", [True, False], ids=["moments", "absmax only"])
def test_odd_observations_give_stated_results(rule: str, moments: bool) -> None:
    for name, absmax in ODD.items():
        a = np.array(absmax)
        more = {"mean": a / 4, "std": a / 5, "numel": np.full(a.size, 64)} if moments else {}
        with np.errstate(over="ignore"):
            log = make_log(absmax=a, **more)
        needs = "distribution" in rule or "width" in rule
        if needs and not (moments and np.isfinite(a).any()):
            with pytest.raises(ValueError, match="lacks mean and std"):
                run(log, rule)
            continue
        table = run(log, rule)
        seen = [row for row in table if row.absmax is not None]
        assert len(seen) == (a < 3.5e38).sum(), name
        assert len(table) == len(seen) + (a > 3.5e38).sum()  # more than float32 holds is infinite
        for row in seen:
            assert row.high is not None, name
            assert row.high >= 0 >= row.low
            assert row.step_size > 0
            if row.absmax <= row.high and "pow2" not in rule:
                assert (row.clipped_fraction, row.clipped_energy) == (0, 0), name
            assert row.energy_by
            assert (row.rounding_energy is None) == ("unknown" in row.energy_by or "no law" in row.energy_by), name
            if row.rounding_energy is not None and row.absmax > 0:
                assert 0 <= row.rounding_energy <= 1.01 * (row.mean**2 + row.std**2), name
        for row in table:
            if row.absmax is None:
                assert row.event == "nothing finite: the range stays"


def test_what_is_not_finite_leaves_the_range_and_uses_up_no_check() -> None:
    table = run(make_log(absmax=[1.0, np.inf, 9.0]), "up-step trigger=every:2")
    assert [(row.s, row.checked) for row in table] == [(-6, True), (-6, False), (-3, True)]


def test_covering_never_clips_after_an_up() -> None:
    absmax = np.exp(np.random.default_rng(5).normal(size=300))
    table = run(make_log(absmax=absmax), "up-step + down")
    assert not any(row.clipped_fraction for row in table)
    source = run(make_log(absmax=np.array([0.999, 1.0, 2.0])), "up-step exponent=source")
    assert [row.s for row in source] == [-7, -7, -6]
    assert source.totals[0].clipping == 3


def test_an_empty_group_begins_as_its_own_layer() -> None:
    table = replay(
        log_of(np.array([[3.0, 1], [0, 0]]), np.array([[0.1, 0], [0, 0]])), [Recipe.parse("up-step scope=group")]
    )
    assert [row.s for row in table] == [-5, -5, -10, -10]


def test_the_event_of_all_layers_stands_where_the_largest_value_is() -> None:
    lines = {"step": [0, 1, 0, 1], "layer": ["a", "a", "b", "b"], "kind": ["weight"] * 4, "absmax": [1.0, 1, 1, 9]}
    table = run(arrange_log(lines), "up-step scope=all")
    assert [(row.layer, row.step, row.s, bool(row.event)) for row in table] == [
        ("a", 0, -6, False), ("a", 1, -3, False), ("b", 0, -6, False), ("b", 1, -3, True),
    ]  # fmt: skip
    assert (table.totals[0].series, table.totals[0].checks, table.totals[0].adjustments) == (2, 2, 1)


def test_series_do_not_know_of_each_other() -> None:
    rng = np.random.default_rng(6)
    parts = [np.abs(rng.normal(size=20)) * scale for scale in (1.0, 30.0, 0.01)]
    # Each begins and ends at other steps, so that no step has all of them.
    lines = [(step, name, value) for name, part, skip in zip("abc", parts, (0, 3, 5), strict=True)
             for step, value in enumerate(part[skip:], skip)]  # fmt: skip
    together = arrange_log({"step": [one[0] for one in lines], "layer": [one[1] for one in lines],
                            "kind": ["output"] * len(lines), "absmax": [one[2] for one in lines]})  # fmt: skip
    for rule in ("up-step + down", "counts count=3", "ema", "up-step trigger=doubling:8"):
        table = run(together, rule)
        for name in "abc":
            alone = run(choose_series(together, include=name), rule)
            assert [row for row in table if row.layer == name] == list(alone)


def test_block_scales_are_told_by_their_exponents() -> None:
    log = make_log(
        absmax=[1.0, 2.0], **{"scale_exponent_-3": [0, 4], "scale_exponent_0": [2, 0], "scale_exponent_1": [1, 0]}
    )
    first, second = run(log, "up-step")
    assert (first.first_exponent, first.exponent_counts) == (0, (2, 1))
    assert (second.first_exponent, second.exponent_counts) == (-3, (4,))


def test_blocks_need_groups_of_their_length() -> None:
    lines = {"step": [0, 0], "layer": ["a"] * 2, "kind": ["weight"] * 2, "group": ["0", "1"], "absmax": [1.0, 3.0]}
    table = run(arrange_log({**lines, "numel": [32, 32], "mean": [0.3, 0.3], "std": [0.2, 0.2]}), "mxfp4")
    assert [row.f for row in table] == [None, None]
    assert [row.s for row in table] == [-2, -1]  # 2^(floor(log2 absmax) - 2)
    for numel in ([64, 64], [np.nan, np.nan]):
        with pytest.raises(
            ValueError, match="mxfp4 has blocks of 32 elements, and the groups of the log are not said to"
        ):
            run(arrange_log({**lines, "numel": numel}), "mxfp4")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("pact", "rule 'pact': pact learns by gradient; statistics hold none; take ema"),
        ("lsq", "lsq learns by gradient"),
        ("ema + ewgs", "ewgs corrects gradients, and statistics hold none; leave it out"),
        ("nvfp4", "nvfp4 has a second scale over each tensor"),
        ("binary", "binary lays its grid over the elements, and the log holds statistics; take intN"),
        ("int4 range=mse", "leave range=mse:100 out"),
        ("int8 channel", "channel has many ranges in a tensor, and the log has one row per tensor"),
        ("up-step scope=group", "record each in a row of its own with a group"),
        ("mxfp4", "mxfp4 has blocks of 32 in a tensor"),
        ("up-distribution", "up-distribution goes by mean and std of .x., and the log lacks mean and std"),
        ("up-step + width-growth", "width-growth goes by the mean of .x. and of"),
        ("up-step trigger=epoch", "it is checked once per epoch; say how many steps one has"),
        ("up-step + average phases=yes", "it is checked once per epoch"),
    ],
)
def test_what_statistics_can_not_tell_is_refused(rule: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        run(make_log(absmax=SEQUENCE), rule)


def test_limits_of_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    log = make_log(absmax=SEQUENCE)
    with pytest.raises(ValueError, match="no rule is given"):
        run(log)
    with pytest.raises(ValueError, match="rule 'ema' stands twice; keep one"):
        run(log, "ema", "ema momentum=0.9")
    with pytest.raises(ValueError, match="an epoch of 0 steps"):
        run(log, "ema", epoch=0)
    negative = arrange_log({"step": [-1], "layer": ["a"], "kind": ["input"], "absmax": [1.0]})
    with pytest.raises(ValueError, match="step -1 is below 0; steps are counted from 0"):
        run(negative, "ema")
    monkeypatch.setattr("qanalysis.training.tracker.MOST_ROWS", 17)
    with pytest.raises(ValueError, match="9 observations under 2 rules make more than 17 rows"):
        run(log, "ema", "counts")


def test_work_can_be_cancelled() -> None:
    def cancel() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(make_log(absmax=SEQUENCE), "ema", check=cancel)


def test_a_log_in_which_nothing_was_observed_is_refused() -> None:
    with pytest.raises(ValueError, match="no row has an absmax, so nothing was observed"):
        run(make_log(absmax=[np.nan, np.nan]), "ema")
