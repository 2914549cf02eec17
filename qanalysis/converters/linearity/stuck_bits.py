"""Does a bit of the codes never change? Then half of the codes never appear, whatever the input did.

A stuck bit takes one of the two end codes away, so that no transition is where the range says: what is left to tell are
the codes that can not come.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.notation import count

STUCK_BITS = "stuck-bits"
_SURE_CODES = 32  # that many codes show both states of a bit, but for a chance of 2^-31
_SURE_SHARE = 0.9
_MOST_CODES = 2**16


def find_stuck_bits(hits: NDArray[np.int64]) -> dict[int, int]:
    """Place and state of each bit that rests while the codes below and above it come; `hits` (codes,) count codes from
    that of all zeros. 2^(k+1) codes in a row show both states of bit k, so that the top bit can not be judged.

    >>> find_stuck_bits(np.array([5, 5, 0, 0] * 4))
    {1: 0}
    """
    met = np.flatnonzero(hits)
    span = int(met[-1] - met[0]) + 1
    toggled = int(np.bitwise_or.reduce(met ^ met[0]))
    resting = [place for place in range(span.bit_length() - 1) if not toggled >> place & 1]
    if not resting or met.size < min(_SURE_CODES, _SURE_SHARE * span / 2 ** len(resting)):
        return {}
    return {place: int(met[0]) >> place & 1 for place in resting}


def describe_stuck_bits(stuck: dict[int, int], codes: int) -> Finding:
    """The finding: which bits, how many codes that takes away, and that DNL and INL are withheld."""
    states = ", ".join(f"bit {place} at {state}" for place, state in stuck.items())
    never = codes - (codes >> len(stuck))
    text = (
        f"Stuck: {states} (bit 0 is the LSB): {never} of {codes} codes never appear, one end of the range among them. "
        "DNL, INL, offset and gain are withheld; check the data lines."
    )
    return Finding(STUCK_BITS, text, max(stuck))


def list_barred(stuck: dict[int, int], codes: int) -> NDArray[np.int64]:
    """The codes, from 0, that can not come."""
    every = np.arange(codes)
    barred = np.zeros(codes, np.bool_)
    for place, state in stuck.items():
        barred |= (every >> place & 1) != state
    return np.flatnonzero(barred)


def name_inverse_bits(hits: NDArray[Any]) -> str:
    """The first two bits that are inverse in all codes, as text for a message; empty where there are none.

    Such a pair takes both end codes away; bits that are always equal take neither.
    """
    met = np.flatnonzero(hits)
    if met.size < _SURE_CODES:
        return ""
    met = met[:: -(-met.size // _MOST_CODES)]
    bits = np.array([met >> place & 1 for place in range(int(hits.size - 1).bit_length())], np.bool_)
    for high in range(1, len(bits)):
        for low in range(high):
            if (bits[high] != bits[low]).all():
                return (
                    f"bit {high} is the inverse of bit {low} in all {count(int(met.size), 'codes')} looked at: "
                    "check the data lines"
                )
    return ""
