"""What each rule would choose, against quantizers fitted to all values."""

import numpy as np
import pytest

from qanalysis.models.activations.activation_sums import ActivationSums
from qanalysis.models.activations.rule_ranges import MOVING, RULES, choose_formats, list_ranges
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sums import measure


def see(values: np.ndarray) -> ActivationSums:
    found = ActivationSums(values.shape[1])
    for part in np.split(values, 4):
        found.add(part)
    return found


@pytest.mark.parametrize("text", ["int4", "int4 asym", "int8"])
def test_errors_are_about_those_of_all_values(text: str) -> None:
    values = np.random.default_rng(11).standard_t(4, (1000, 16)).astype(np.float32)
    found = {one["rule"]: one for one in list_ranges(see(values), [Scheme.parse(text)])}
    assert list(found) == [*map(str, RULES), MOVING]
    for rule in ("minmax", "percentile:99.9", "mse:100"):
        fitted = Scheme.parse(f"{text} range={rule}").fit(values)
        # bins are the span over 4096, 8 to 16 of them to a step of 8 bits: their means stand for what is in them
        assert found[rule]["sqnr_db"] == pytest.approx(measure(values, fitted.round_trip(values)).sqnr_db, abs=0.1)
    assert found["minmax"]["beyond_share"] == 0
    assert found["percentile:99.9"]["beyond_share"] == pytest.approx(0.002 if "asym" in text else 0.001, abs=2e-4)
    assert found["mse:100"]["sqnr_db"] >= found["minmax"]["sqnr_db"]
    assert {one["scheme"] for one in found.values()} == {text}


def test_averaged_ends_are_those_of_the_calls() -> None:
    values = np.float32([[1.0], [3.0], [2.0], [-9.0]])
    (found,) = [one for one in list_ranges(see(values), [Scheme.parse("int8 asym")]) if one["rule"] == MOVING]
    assert found["high"] == pytest.approx(0.9 * (0.9 * (0.9 * 1 + 0.1 * 3) + 0.1 * 2) - 0.9, rel=1e-6)


def test_only_integers_of_few_bits_are_tried_each_once() -> None:
    texts = ["int8 channel", "int8 range=mse", "int16", "mxfp4", "int4 asym"]
    assert list(map(str, choose_formats([Scheme.parse(text) for text in texts]))) == ["int8", "int4 asym"]
    assert list_ranges(ActivationSums(3), [Scheme.parse("int8")]) == []
