"""One line in a catalogue is enough: a format and a range rule added there are known to everything that asks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.cli import app
from qanalysis.dashboard.layers.format_card import list_facts
from qanalysis.diagnosis.causes import exact_scale
from qanalysis.diagnosis.conventions import compare_conventions
from qanalysis.diagnosis.findings import diagnose
from qanalysis.quantizers import ranges
from qanalysis.quantizers.families import mx_format
from qanalysis.quantizers.formats import FORMATS, list_packers
from qanalysis.quantizers.number_format import NumberFormat
from qanalysis.quantizers.ranges import RANGE_RULES, GridSearch, RangeRule, list_forms, parse_range
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.statistics import Range
from qanalysis.quantizers.words import parse_format, parse_scale
from qanalysis.sweeps.sweep import sweep
from qanalysis.sweeps.work import weigh_work
from qanalysis.theory.predictions import predict_sqnr_db
from tests.reference_levels import decode_bits

NAME = "mxfp6_e2m3:16"
TAILS = np.random.default_rng(40).standard_t(4, size=(16, 256)).astype(np.float32)


@pytest.fixture
def added(monkeypatch: pytest.MonkeyPatch) -> NumberFormat:
    """MXFP6 in blocks of 16, which no tool has: a name, whose numbers it packs, the length of its blocks, what is wider."""
    fmt = mx_format(NAME, FORMATS["fp6_e2m3"], block=16, wider="mxfp8_e4m3", other="mxfp6_e3m2", peer="nobody yet")
    monkeypatch.setitem(FORMATS, NAME, fmt)
    return fmt


def test_an_added_format_parses_prints_and_refuses(added: NumberFormat) -> None:
    scheme = Scheme.parse(NAME)
    assert (str(scheme), scheme.format, parse_format(NAME)) == (NAME, added, added)
    assert (str(scheme.grouping), scheme.scale.name, scheme.storage_bits) == ("group=16", "e8m0", (6, 8))
    assert added.fixed == {"symmetry", "grouping", "range", "scale"}
    with pytest.raises(ValueError, match=rf"{NAME} and group=32 do not go together: its blocks have 16 values"):
        Scheme.parse(f"{NAME} group=32")
    with pytest.raises(ValueError, match=rf"did you mean {NAME}\?"):
        parse_format(NAME.upper())


def test_an_added_format_is_swept_and_predicted(added: NumberFormat) -> None:
    row, free = sweep({"x": TAILS}, [NAME, "fp6_e2m3 group=16 scale=pow2:library"])
    # The same numbers under the same powers of two: only the words differ.
    assert (row.status, row.sqnr_db, row.bits_per_weight) == ("ok", free.sqnr_db, 6 + 8 / 16)
    quantizer = Scheme.parse(NAME).fit(TAILS)
    levels = {abs(decode_bits(code, "fp6_e2m3")) for code in range(64)}
    scaled = quantizer.round_trip(TAILS) / quantizer.layout.spread(quantizer.scale)
    assert set(np.unique(np.abs(scaled))) <= levels
    assert predict_sqnr_db(Scheme.parse(NAME), {16: 100}) == pytest.approx(row.theory_sqnr_db, abs=0.2)


def test_an_added_format_stands_on_its_card_and_among_the_conventions(added: NumberFormat) -> None:
    facts = dict(list_facts(Scheme.parse(NAME)))
    assert (facts["Storage"], facts["Equal bit for bit"]) == ("6 bit a value + 8 bit a group=16", "nobody yet")
    assert list_packers(FORMATS["fp6_e2m3"], 16) == [added]
    compared = {convention.scheme: convention for convention in compare_conventions(TAILS, "fp6_e2m3 group=16")}
    assert compared[NAME].formula == "scale = 2^(floor(log2 absmax) − 2), stored in 8 bits"
    assert compared[NAME].peers == "nobody yet"
    asked = [convention for convention in compare_conventions(TAILS, NAME) if convention.is_asked]
    assert [(convention.scheme, convention.aspect) for convention in asked] == [(NAME, "block format")]


def test_an_added_format_has_its_cures(added: NumberFormat) -> None:
    cures = {cure.code: cure for cure in diagnose(TAILS, Scheme.parse(NAME)).cures}
    assert (cures["wider"].scheme, cures["format"].scheme) == ("mxfp8_e4m3", "mxfp6_e3m2")
    assert cures["scale"].scheme == str(exact_scale(Scheme.parse(NAME))) == "fp6_e2m3 group=16"


@dataclass(frozen=True, slots=True)
class HalfRange(RangeRule):
    """Half of everything, as a rule that is as simple as can be."""

    share: float = 0.5
    name: ClassVar[str] = "half"
    argument: ClassVar[str] = "S"
    example: ClassVar[str] = "half:0.5"
    title: ClassVar[str] = "Half of the range"
    peers: ClassVar[str] = "nobody yet"

    @property
    def formula(self) -> str:
        return f"{self.share:g} of the group's own ends"

    @property
    def cost(self) -> int:
        return 2

    def __call__(self, values: np.ndarray, *, symmetric: bool, search: GridSearch) -> Range:
        ends = ranges._extremes(values)
        return ends.take(lambda part: part * np.float32(self.share))


@pytest.fixture
def rule(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[RangeRule]]:
    """The rule in the catalogue."""
    monkeypatch.setitem(RANGE_RULES, HalfRange.name, HalfRange)
    return HalfRange


def test_an_added_range_rule_parses_sweeps_and_stands_in_lists(rule: type[RangeRule]) -> None:
    scheme = Scheme.parse("int4 channel range=half")
    assert (str(scheme), str(scheme.range), Scheme.parse("int4 channel range=half:0.5")) == (
        "int4 channel range=half",
        "half:0.5",
        scheme,
    )
    assert list_forms()[-1] == "half:S"
    with pytest.raises(ValueError, match="use minmax, percentile:P, meanstd:K, mse:N or half:S"):
        Scheme.parse("nf4 range=kl")
    with pytest.raises(ValueError, match=r"'x' is not a number of 0 or more; write for example half:0\.5"):
        parse_range("half:x")
    row = sweep({"x": TAILS}, ["int4 channel range=half"])[0]
    step = np.abs(TAILS).max(axis=1) / 2 / 7
    assert row.step_max == pytest.approx(float(step.max()), rel=2.0**-23)


def test_an_added_range_rule_is_offered_compared_and_weighed(rule: type[RangeRule]) -> None:
    compared = {convention.scheme: convention for convention in compare_conventions(TAILS, "int4 channel")}
    assert (compared["int4 channel range=half"].formula, compared["int4 channel range=half"].peers) == (
        "0.5 of the group's own ends",
        "nobody yet",
    )
    cures = diagnose(TAILS, Scheme.parse("int4 channel")).cures
    assert ("Half of the range", "int4 channel range=half") in [(cure.text, cure.scheme) for cure in cures]
    assert weigh_work([TensorInfo("w", (10, 10), "F32", 400)], ["int4 range=half", "nf4 range=half"]) == 100 * 2 * (
        1 + 3
    )


def test_every_rule_stands_in_the_help_of_the_sweep() -> None:
    text = CliRunner().invoke(app, ["sweep", "--help"], env={"COLUMNS": "200"}).output
    assert all(name in text for name in RANGE_RULES)


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=str)
def test_what_a_format_names_exists(fmt: NumberFormat) -> None:
    others = [name for name in (fmt.wider, fmt.other) if name]
    assert all(parse_format(name) != fmt for name in others)
    assert all(parse_format(fmt.wider).bits >= fmt.bits for _ in [0] if fmt.wider)
    assert fmt.packs is None or (fmt.packs in FORMATS.values() and fmt.packs.block is None and fmt.block)
    assert bool(fmt.formula) == (fmt.packs is not None)
    assert all(parse_scale(scale.name) == scale for scale in fmt.scales)
    assert fmt.peer
