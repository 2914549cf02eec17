"""Smoothing and rotating: what changes no output, and what it gains, against torch and scipy."""

import numpy as np
import pytest
from scipy.linalg import block_diag, hadamard

from qanalysis.checkpoints.source import TensorInfo
from qanalysis.models.activations.cures import LinearLayer, find_block, rotate, smooth, try_cures
from qanalysis.quantizers.matrix_view import MatrixView
from qanalysis.quantizers.scheme import Scheme


def make_layer(features: int = 24, *, turned: bool = False) -> LinearLayer:
    rng = np.random.default_rng(8)
    tokens, weight = rng.normal(size=(50, features)).astype(np.float32), rng.normal(size=(10, features))
    tokens[:, 5] *= 40
    shape, view = ((features, 10), MatrixView((1,))) if turned else ((10, features), MatrixView())
    return LinearLayer("fc", TensorInfo("fc.weight", shape, "float32", 0, view), tokens, np.float32(weight), 60)


@pytest.mark.parametrize("features", [1, 6, 24, 64])
def test_a_rotation_is_scipys_hadamard_matrix_in_blocks(features: int) -> None:
    block = find_block(features)
    whole = block_diag(*[hadamard(block) / np.sqrt(block)] * (features // block))
    values = np.random.default_rng(9).normal(size=(7, features)).astype(np.float32)
    # float64 inside, rounded once to float32
    np.testing.assert_allclose(rotate(values), values @ whole, rtol=0, atol=1e-6)
    np.testing.assert_allclose(rotate(rotate(values)), values, atol=1e-6)


def test_neither_changes_the_output() -> None:
    layer = make_layer()
    output = layer.tokens.astype(np.float64) @ layer.weight.T.astype(np.float64)
    for tokens, weight in (smooth(layer.tokens, layer.weight, 0.7), (rotate(layer.tokens), rotate(layer.weight))):
        # products of 24 terms, each rounded to float32 once in either factor
        np.testing.assert_allclose(
            tokens.astype(np.float64) @ weight.T.astype(np.float64), output, atol=24 * 2**-23 * np.abs(output).max()
        )


@pytest.mark.parametrize("text", ["int8 channel", "int14 channel"])
@pytest.mark.parametrize("turned", [False, True], ids=["out x in", "in x out"])
def test_errors_are_those_of_quantized_products(turned: bool, text: str) -> None:
    layer, scheme = make_layer(turned=turned), Scheme.parse(text)
    (cure,) = try_cures(layer, [scheme])

    def brute_force(tokens: np.ndarray, weight: np.ndarray) -> float:
        output = layer.tokens.astype(np.float64) @ layer.weight.T
        found = scheme.fit(tokens).round_trip(tokens).astype(np.float64) @ scheme.fit(weight).round_trip(weight).T
        return 10 * np.log10(np.square(output).sum() / np.square(found - output).sum())

    assert cure.plain_db == pytest.approx(brute_force(layer.tokens, layer.weight), abs=1e-3)
    assert cure.smooth_db == pytest.approx(brute_force(*smooth(layer.tokens, layer.weight, 0.5)), abs=1e-3)
    assert cure.hadamard_db == pytest.approx(brute_force(rotate(layer.tokens), rotate(layer.weight)), abs=1e-3)
    assert cure.best_alpha is not None
    best = brute_force(*smooth(layer.tokens, layer.weight, cure.best_alpha))
    assert cure.best_smooth_db == pytest.approx(best, abs=1e-3)


def test_an_outlier_feature_gains_by_both_and_the_best_strength_gains_no_less() -> None:
    (cure,) = try_cures(make_layer(), [Scheme.parse("int8 channel")])
    assert cure.smooth_gain_db is not None
    assert cure.best_smooth_gain_db is not None
    assert cure.hadamard_gain_db is not None
    assert 3 < cure.smooth_gain_db <= cure.best_smooth_gain_db
    assert cure.hadamard_gain_db > 3
    assert (cure.tokens, cure.of_tokens, cure.hadamard_block) == (50, 60, 8)
    assert cure.describe()["smooth_gain_db"] == cure.smooth_gain_db


def test_a_dead_feature_and_a_column_of_zeros_stay_as_they_are() -> None:
    tokens, weight = np.float32([[0, 2, 3]]), np.float32([[1, 0, 4]])
    smoothed = smooth(tokens, weight, 0.5)
    assert smoothed[0][0, :2].tolist() == [0, 2]
    assert smoothed[1][0, :2].tolist() == [1, 0]


def test_odd_features_have_no_rotation_and_schemes_that_do_not_fit_a_reason() -> None:
    (cure, refused) = try_cures(make_layer(15), [Scheme.parse("int8"), Scheme.parse("mxfp4")])
    assert (cure.hadamard_block, cure.hadamard_db, cure.hadamard_gain_db) == (None, None, None)
    assert "do not divide a row of 15" in refused.reason
    assert refused.plain_db is None
