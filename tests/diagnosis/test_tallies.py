"""The compiled profile against plain numpy on whole arrays, over shapes, groupings, conventions, ranges, widths and formats."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from qanalysis.diagnosis import tallies
from qanalysis.diagnosis.profile import LayerProfile, profile_bits, profile_layer
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.rounding import ROUNDINGS
from qanalysis.quantizers.scheme import Scheme
from qanalysis.quantizers.symmetries import SYMMETRIES

from ..reference_profile import SUMS, check_profile, describe_profile


def draw_weights(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    return (np.random.default_rng(seed).standard_t(4, size=shape) * 0.02).astype(np.float32)


def spoil(x: NDArray[np.float32]) -> NDArray[np.float32]:
    x.reshape(-1)[[0, 1, 70, -1]] = np.nan, np.inf, -np.inf, np.nan
    x[-1] = np.nan
    return x


def empty_half(x: NDArray[np.float32]) -> NDArray[np.float32]:
    x[::2] = 0
    return x


TENSORS = {
    "three dimensions": draw_weights(7, 32, 3),
    "one dimension": draw_weights(3000),
    "not finite": spoil(draw_weights(9, 96)),
    "rows of zeros": empty_half(draw_weights(6, 64)),
    "all zeros": np.zeros((3, 64), np.float32),
    "denormal": draw_weights(6, 64) * np.float32(1e-38),
    "blocks of 256": draw_weights(4, 512),
    "hardly a bit": draw_weights(6, 64) * np.float32(1e-43),
    "huge": draw_weights(6, 64) / np.abs(draw_weights(6, 64)).max() * np.finfo(np.float32).max,
    "all scales": draw_weights(6, 64) * np.float32(10) ** np.random.default_rng(1).integers(-30, 30, (6, 64)),
    "constant": np.full((5, 32), 0.3, np.float32),
    "positive": np.abs(draw_weights(4, 100)),
    "one value": np.float32([-0.7]),
    "long rows": draw_weights(2, 5000),
    "many rows": draw_weights(3000, 4),
}
TENSORS = {name: x.astype(np.float32) for name, x in TENSORS.items()}
GROUPINGS = ("tensor", "channel", "channel=1", "group=32", "group=7", "block=2x5")
RANGES = ("percentile:90", "meanstd:1", "mse:4", "kl:16")
BINS = 37


def check(x: NDArray[np.float32], scheme: Scheme) -> None:
    check_profile(profile_layer(x, scheme, bins=BINS), describe_profile(x, scheme, bins=BINS), scheme)


@pytest.mark.parametrize("grouping", GROUPINGS)
@pytest.mark.parametrize("x", TENSORS.values(), ids=TENSORS)
def test_every_convention_and_width_is_the_reference(x: NDArray[np.float32], grouping: str) -> None:
    for symmetry in SYMMETRIES:
        for bits in (2, 3, 4, 8, 11, 16):
            check(x, Scheme.parse(f"int{bits} {symmetry} {grouping}"))


@pytest.mark.parametrize("rule", RANGES)
@pytest.mark.parametrize("name", ["three dimensions", "not finite", "rows of zeros"])
def test_every_range_is_the_reference(name: str, rule: str) -> None:
    for grouping in GROUPINGS:
        for symmetry in SYMMETRIES:
            for bits in (2, 5, 16):
                check(TENSORS[name], Scheme.parse(f"int{bits} {symmetry} {grouping} range={rule}"))


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("name", ["not finite", "long rows", "rows of zeros"])
def test_every_rounding_and_type_of_scale_is_the_reference(name: str, rounding: str) -> None:
    word = f"round={rounding}:5" if rounding == "stochastic" else f"round={rounding}"
    for grouping in GROUPINGS:
        for symmetry in ("sym", "asym"):
            for scale in ("float32", "float16", "pow2"):
                check(TENSORS[name], Scheme.parse(f"int4 {symmetry} {grouping} scale={scale} {word}"))


@pytest.mark.parametrize("name", [name for name, fmt in FORMATS.items() if not fmt.is_integer])
def test_every_format_is_the_reference(name: str) -> None:
    fmt = FORMATS[name]
    fitting = [
        x for x in TENSORS.values() if not x.reshape(x.shape[0] if x.ndim > 1 else 1, -1).shape[1] % (fmt.block or 1)
    ]
    assert fitting
    for x in fitting:
        for grouping in ("",) if "grouping" in fmt.fixed else ("tensor", "channel", "group=32"):
            check(x, Scheme.parse(f"{name} {grouping}"))


@pytest.mark.parametrize("words", ["int4 asym group=7", "int4 channel range=mse:4", "int4 range=meanstd:1", "nf4"])
def test_many_widths_are_the_single_ones(words: str) -> None:
    x = TENSORS["not finite"]
    for profile in profile_bits(x, Scheme.parse(words), axis=1):
        bins = profile.in_range.counts.size
        check_profile(profile, describe_profile(x, profile.scheme, bins=bins, axis=1), profile.scheme)
    assert profile_bits(x, Scheme.parse(words), []) == ()


def assert_equal(profile: LayerProfile, other: LayerProfile, *, rtol: float) -> None:
    for name in SUMS:
        np.testing.assert_allclose(getattr(profile, name), getattr(other, name), rtol=rtol)
    for name in ("in_range", "clipped", "zeroed", "error_in_steps"):
        assert getattr(profile, name).counts.tolist() == getattr(other, name).counts.tolist()
    assert profile.beyond_bound == other.beyond_bound


@pytest.mark.parametrize("words", ["int4", "int3 asym group=7", "int4 block=3x70", "nf4 group=33", "int4 round=floor"])
@pytest.mark.parametrize("shape", [(5, 331), (1, 2500), (400, 6)], ids=["rows", "one row", "columns"])
def test_neither_pieces_nor_threads_change_a_profile(
    words: str, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, scheme = draw_weights(*shape), Scheme.parse(words)
    whole = profile_layer(x, scheme)
    monkeypatch.setattr(tallies, "PIECE_VALUES", 97)
    cut = {}
    for cores in (1, 5):
        monkeypatch.setattr(tallies, "count_cores", lambda cores=cores: cores)
        cut[cores] = profile_layer(x, scheme)
    assert_equal(cut[1], cut[5], rtol=0)
    assert_equal(cut[1], whole, rtol=1e-12)  # some hundred terms in another order


def test_many_threads_may_ask_at_once() -> None:
    x, scheme = draw_weights(700, 800), Scheme.parse("int4 group=32")
    expected, gate = profile_bits(x, scheme, [2, 8]), threading.Barrier(6)

    def ask(_number: int) -> tuple[LayerProfile, ...]:
        gate.wait()
        return profile_bits(x, scheme, [2, 8])

    with ThreadPoolExecutor(6) as pool:
        for found in pool.map(ask, range(6)):
            for profile, other in zip(found, expected, strict=True):
                assert_equal(profile, other, rtol=0)


def test_what_is_measured_is_left_as_it_is() -> None:
    x = TENSORS["not finite"].copy()
    x.flags.writeable = False
    profile_bits(x, Scheme.parse("int4 group=32"), [2, 8])
    assert x.tobytes() == TENSORS["not finite"].tobytes()
