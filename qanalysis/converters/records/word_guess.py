"""Which words are in a file of bytes that says nothing of itself? Those that take the fewest bits to write down.

In each reading four neighbours foretell a word; what they do not foretell of it costs log2 of that many steps. The true
reading is the cheapest: a wrong byte order or width turns low bytes, which are noise, into high ones. Of words that
take turns each channel foretells its own, and the dearest channel counts for all, so that the low bytes of a
noisy record are not taken for a channel.

That several channels, or I and Q, take turns shows in the spectrum of the one stream: each line at f has images at
k/s ± f, which one converter has not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.records.samples import QUANTIZATION_RMS
from qanalysis.converters.records.word_types import WordType

#: In the order in which they are believed where the bytes do not tell.
CANDIDATES = tuple(
    WordType(kind, bits, big_endian=order)
    for kind, bits, order in (
        ("i", 16, False),
        ("u", 8, False),
        ("i", 16, True),
        ("i", 32, False),
        ("f", 32, False),
        ("i", 24, False),
        ("f", 64, False),
        ("i", 32, True),
        ("f", 32, True),
        ("i", 24, True),
        ("f", 64, True),
        ("i", 64, False),
        ("i", 64, True),
    )
)
TURNS = (1, 2, 3, 4, 6, 8)
WINDOW_BYTES = 3 << 13  # a whole number of frames of every candidate and turn
_COST_BYTES = 3 << 11  # of those, which the cost is counted of
_RIDGE = 1e-14  # against squares of words that reach 1
_LAGS = 4
_UNFORETOLD = 0.9  # share of its bits that a channel takes, from which on it is as well the low bytes of wider words
_SMALL = 1e-30  # floats of a record reach further than this, and less far than its inverse
_FEWEST = 32  # words of a channel that tell something
# Bits of a Gaussian of 1 step rms: 0.5 log2(2 pi e), and what the mean of log2|r| lies below log2 of its rms.
_GAUSSIAN_BITS = 2.047 + 0.916
_CLEAR = 0.03  # of the bits of the file, or
_CLEAR_SHARE = 0.25  # of what the cheapest type saves (words of twice the width save half) or of what it costs
_NOISE = 0.94  # of the bits of the file: what costs more is noise in every reading
_SCATTER_BITS = 1.6  # standard deviation of log2|r| of a Gaussian
_CHANCE = 4.0  # standard errors
_IMAGE_EVIDENT, _IMAGE_SEEN = 10**-1.2, 1e-5  # power against the line's
_ABOVE_NOISE = 30.0  # times the median of the spectrum: once in 2^30 bins of noise
_REACH = 3  # bins of the main lobe of Blackman's window
_SKIRTS = 1e-3  # power of what still counts as a line beside one at k/s
_LEAST_CLIPPED = 0.01  # share of words at either end of their range
_ORDERS = 9  # harmonics that may lie where an image does


@dataclass(frozen=True, slots=True)
class Guess:
    """The cheapest type, what it costs as a share of the bits that the file has, and the next with its cost.

    `turns` says by how many channels the spectrum looks taken in turns, 1 for one, and `image` the power of the highest
    image against its line.
    """

    words: WordType
    cost: float
    other: WordType
    other_cost: float
    chance: float
    turns: int
    image: float

    @property
    def is_clear(self) -> bool:
        """Whether the bytes are no mere noise, and the next type saves less, by more than chance explains."""
        clear = min(_CLEAR, _CLEAR_SHARE * (1 - self.cost), _CLEAR_SHARE * self.cost)
        return self.cost < _NOISE and self.other_cost - self.cost > max(clear, self.chance)

    @property
    def is_interleaved(self) -> bool:
        """Whether one converter can hardly have given the images."""
        return self.turns > 1 and self.image > _IMAGE_EVIDENT


def guess_words(data: NDArray[np.uint8]) -> Guess:
    """The type of the words of a file from some of its bytes (bytes,), best 24 KiB of its samples."""
    data = data[: data.size // 192 * 192] if data.size >= 1 << 12 else data
    costs = [_measure_cost(data[:_COST_BYTES], words) for words in CANDIDATES]
    clipped = [
        place
        for place, words in enumerate(CANDIDATES)
        if words.kind == "i" and words.bits == 16 and _is_saturated(words.decode(data[: data.size // 2 * 2]))
    ]
    if clipped and CANDIDATES[int(np.argmin(costs))].bits == 8:
        costs[clipped[0]] = 0.5 * min(costs)
    order = np.argsort(costs, kind="stable")
    best, other = CANDIDATES[order[0]], CANDIDATES[order[1]]
    turns, image = find_turns(_read_plainly(data, best))
    count = max(1, 8 * min(data.size, _COST_BYTES) // best.bits)
    chance = _CHANCE * _SCATTER_BITS / best.bits * count**-0.5
    return Guess(best, costs[order[0]], other, costs[order[1]], chance, turns, image)


def _is_saturated(found: NDArray[Any]) -> bool:
    """Whether words (words,) of 16 bits stand at both ends of their range, and seldom just before them: what is clipped
    has those words, of which bytes alone show two values that take turns.
    """
    top, bottom = (int(np.count_nonzero(found == end)) for end in (0x7FFF, -0x8000))
    near = int(np.count_nonzero((found >= 0x7F00) | (found < -0x7F00)))
    return min(top, bottom) >= max(_LEAST_CLIPPED * found.size, 1) and top + bottom >= 0.5 * near


def _measure_cost(data: NDArray[np.uint8], words: WordType) -> float:
    """Bits that a reading takes, as a share of those that the bytes have; 1 for what can not be."""
    size = words.bits // 8
    found = words.decode(data[: data.size // size * size])
    if found.size < _FEWEST:
        return 1.0
    least = 1.0
    for values, quanta in _list_readings(found, words.bits):
        for turns in TURNS:
            if found.size >= turns * _FEWEST:
                shares = _measure_bits(values, quanta, turns) / words.bits
                least = min(least, 1.0 if turns > 1 and shares.max() > _UNFORETOLD else float(shares.mean()))
    return max(0.0, least)


def _list_readings(found: NDArray[Any], bits: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """The values (words,) of each way to read the words, with the step of each: as they stand, with another sign, or
    as two's complement of the width that they need.
    """
    if found.dtype.kind == "f":
        with np.errstate(all="ignore"):
            values = found.astype(np.float64)
            top = np.abs(values).max()
            if np.isfinite(values).all() and _SMALL < top < 1 / _SMALL:
                yield values, _find_float_steps(values, float(np.finfo(found.dtype).eps))
        return
    whole = found.astype(np.int64)
    union = int(np.bitwise_or.reduce(whole))
    whole >>= (union & -union).bit_length() - 1 if union else 0
    yield from ((values, np.ones(values.size)) for values in _list_signs(whole, bits))


def _list_signs(whole: NDArray[np.int64], bits: int) -> Iterator[NDArray[np.float64]]:
    yield whole.astype(np.float64)
    if bits > 32:
        return
    unsigned = whole & ((1 << bits) - 1)
    widths = {bits, int(unsigned.max()).bit_length()}
    if int(whole.min()) < 0:
        yield unsigned.astype(np.float64)
    for width in widths - {0}:
        half = 1 << width - 1
        wrapped = ((unsigned + half) & ((1 << width) - 1)) - half
        if not np.array_equal(wrapped, whole):
            yield wrapped.astype(np.float64)


def _find_float_steps(values: NDArray[np.float64], digits: float) -> NDArray[np.float64]:
    """The step of each float: the last digit of its mantissa, or the power of two that all are multiples of."""
    mantissa, exponent = np.frexp(values)
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    last = np.where(whole != 0, np.ldexp((whole & -whole).astype(np.float64), exponent - 53), np.inf).min()
    steps: NDArray[np.float64] = np.maximum(np.ldexp(digits, exponent - 1), last)
    return steps


def _measure_bits(values: NDArray[np.float64], steps: NDArray[np.float64], turns: int) -> NDArray[np.float64]:
    """Bits of a word of each channel (turns,) of a stream (words,), foretold from the four before it by least squares;
    `steps` (words,) are those of the words.
    """
    count = values.size // turns
    scale = float(np.abs(values).max()) or 1.0
    channels = (values[: count * turns] / scale).reshape(count, turns).T
    units = steps[: count * turns].reshape(count, turns).T[:, _LAGS:]
    now = channels[:, _LAGS:]
    parts = [channels[:, lag : count - _LAGS + lag] for lag in range(_LAGS)]
    past = np.stack([*parts, np.ones_like(now)], axis=1)
    turned = past.transpose(0, 2, 1)
    products = past @ turned
    products += np.eye(len(parts) + 1) * (_RIDGE * past[0].size)  # words that hardly move leave nothing to divide by
    weights = np.linalg.solve(products, past @ now[:, :, np.newaxis])
    rest = (now - (turned @ weights)[:, :, 0]) * scale / units
    spread = 0.5 * np.log2(rest * rest + QUANTIZATION_RMS**2)
    lowest, highest = channels.min(axis=1, keepdims=True), channels.max(axis=1, keepdims=True)
    inside = (now > lowest) & (now < highest)  # a clipped word tells nothing of the step
    inside |= ~inside.any(axis=1, keepdims=True)
    model = past.shape[1] * 0.5 * np.log2(now.shape[1]) / now.shape[1]
    bits: NDArray[np.float64] = np.mean(spread, axis=1, where=inside) + _GAUSSIAN_BITS + model
    return bits


def _read_plainly(data: NDArray[np.uint8], words: WordType) -> NDArray[np.float64]:
    """The words in the cheapest of their signs, as one channel."""
    size = words.bits // 8
    found = words.decode(data[: data.size // size * size])
    readings = list(_list_readings(found, words.bits)) if found.size >= 2 * _FEWEST else []
    if not readings:
        return np.empty(0)
    return min(readings, key=lambda reading: float(_measure_bits(reading[0], reading[1], 2).mean()))[0]


def find_turns(values: NDArray[np.float64]) -> tuple[int, float]:
    """By how many channels in turns a stream (words,) looks taken, 1 for one, and the power of its highest image.

    The channels are those whose images at k/s ± f of the highest line at f stand out, and are none of the line's
    harmonics. An interleaved converter whose parts differ has such images too, weak ones.
    """
    size = min(values.size, 1 << 14)
    if size < 256:
        return 1, 0.0
    window = np.blackman(size)
    power = np.abs(np.fft.rfft((values[:size] - values[:size].mean()) * window)) ** 2
    noise = float(np.median(power)) * _ABOVE_NOISE
    power[: _REACH + 1] = 0
    lines, highest = power.copy(), float(power.max())
    for turns in TURNS:
        for k in range(turns // 2 + 1):
            at = round(k * size / turns)
            lines[max(0, at - _REACH) : at + _REACH + 1] = 0
    highest_bin = int(np.argmax(lines))
    main, line = float(lines[highest_bin]), _find_peak(lines, highest_bin)
    if not main > max(noise, highest * _SKIRTS):
        return 1, 0.0
    heights = power if main >= highest else lines
    found, image = 1, 0.0
    for turns in TURNS[1:]:
        seen = [
            height / main
            for height in _find_images(heights, line, turns, size)
            if height > max(noise, main * _IMAGE_SEEN)
        ]
        expected = sum(1 for k in range(1, turns) if not _is_older(k, turns))
        if seen and len(seen) == expected:
            found, image = turns, max(seen)
    return found, image


def _find_images(power: NDArray[np.float64], line: float, turns: int, size: int) -> Iterator[float]:
    """Power of each image k/turns ± f that fewer channels do not have; not those near the line or on a harmonic."""
    for k in range(1, turns):
        at = _fold(k * size / turns + line, size)
        if _is_older(k, turns) or abs(at - line) <= 2 * _REACH:
            continue
        height = float(power[max(0, round(at) - 1) : round(at) + 2].max())
        if not _is_harmonic(at, line, size, height / float(power[round(line)])):
            yield height


def _is_older(k: int, turns: int) -> bool:
    return any(k * fewer % turns == 0 for fewer in TURNS if fewer < turns)


def _fold(at: float, size: int) -> float:
    at %= size
    return min(at, size - at)


def _is_harmonic(at: float, line: float, size: int, height: float) -> bool:
    """Whether a line of that power may be a harmonic of the main one: an odd one no higher than that of a square wave,
    an even one ten times lower.
    """
    return any(
        height < (1.5 if order % 2 else 0.15) / order**2 and abs(_fold(order * line, size) - at) <= 1 + 0.2 * order
        for order in range(2, _ORDERS + 1)
    )


def _find_peak(power: NDArray[np.float64], at: int) -> float:
    """The place of a line between bins: the top of a parabola through the logarithms of three."""
    around = np.log(np.maximum(power[at - 1 : at + 2], 1e-300))
    if around.size < 3:
        return float(at)
    bend = around[0] - 2 * around[1] + around[2]
    return at + 0.5 * float((around[0] - around[2]) / bend) if bend < 0 else float(at)
