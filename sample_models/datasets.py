"""Which real data are the samples trained on, and which part is held out? Seeded splits as plain numpy arrays.

Digits: scikit-learn's copy of the UCI test set, read from the installed package. Words: web2, read from a file. Nothing
is downloaded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SPLIT_SEED = 1934
HELD_OUT_DIGITS = 450
HELD_OUT_WORDS = 4000
SHIPPED_WORDS = 60_000  # of 229615 to train on: 379 kB compressed, and more than a short run reads
LONGEST_WORD = 24
WORD_LIST_SHA256 = "2929895ab3fec78c6963ebe5cbb3493fe4fc9e11eba095a522787b8afc53a863"
WORD_LIST = Path("/usr/share/dict/web2")  # where Debian's miscfiles puts it

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class DigitsSplit:
    """Images `(n, 8, 8)` with ink counts 0..16 and labels `(n,)` 0..9."""

    images: Bytes
    labels: Bytes
    held_out_images: Bytes
    held_out_labels: Bytes


@dataclass(frozen=True, slots=True)
class WordsSplit:
    """Words as `(n, 24)`: 1..26 for a..z, 0 after the last letter; no word is in both parts."""

    words: Bytes
    held_out: Bytes


def split_digits() -> DigitsSplit:
    """The 1797 digits in a random split, 1347 to train and 450 held out.

    Raises ImportError with the way out when scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as missing:
        raise ImportError(
            "the digits come with scikit-learn, which is not installed: pip install scikit-learn (or qanalysis[test])"
        ) from missing
    digits = load_digits()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(digits.target))
    train, held_out = order[HELD_OUT_DIGITS:], order[:HELD_OUT_DIGITS]
    images, labels = digits.images.astype(np.uint8), digits.target.astype(np.uint8)
    return DigitsSplit(images[train], labels[train], images[held_out], labels[held_out])


def split_words(path: Path) -> WordsSplit:
    """All distinct lower-cased words of web2 in a random split, 4000 held out.

    Raises ValueError when the list is missing or is another one, since the split and the card hold only for this list.
    """
    if not path.is_file():
        raise ValueError(
            f"word list {str(path)!r} not found; words-transformer learns from web2: install Debian's package "
            "miscfiles or give --words PATH"
        )
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != WORD_LIST_SHA256:
        raise ValueError(
            f"word list {str(path)!r} has SHA-256 {digest[:12]}..., web2 of miscfiles 1.5 has "
            f"{WORD_LIST_SHA256[:12]}...; give that file with --words PATH"
        )
    words = encode_words(sorted(set(content.decode("ascii").lower().split())))
    order = np.random.default_rng(SPLIT_SEED).permutation(len(words))
    return WordsSplit(words[order[HELD_OUT_WORDS:]], words[order[:HELD_OUT_WORDS]])


def encode_words(words: list[str]) -> Bytes:
    """Lower-case words a..z of at most 24 letters as `(n, 24)` codes.

    >>> encode_words(["cab"])[0, :5].tolist()
    [3, 1, 2, 0, 0]
    """
    letters = np.frombuffer("".join(word.ljust(LONGEST_WORD, "`") for word in words).encode("ascii"), dtype=np.uint8)
    return (letters - np.uint8(ord("`"))).reshape(len(words), LONGEST_WORD)  # "`" is the character before "a"


def decode_words(codes: Bytes) -> list[str]:
    """The words of `(n, 24)` codes; the inverse of `encode_words`.

    >>> decode_words(encode_words(["cab", "a"]))
    ['cab', 'a']
    """
    return ["".join(chr(ord("`") + code) for code in row if code) for row in codes]


def unigram_loss(train: Bytes, held_out: Bytes) -> float:
    """Nats per character, ends included, of the best model that knows only how frequent each character is in `train`.

    >>> round(unigram_loss(encode_words(["ab"]), encode_words(["ba"])), 6)  # a, b and the end, one third each: ln 3
    1.098612
    """
    counts, held_out_counts = _character_counts(train), _character_counts(held_out)
    seen = held_out_counts > 0
    return float(-(held_out_counts[seen] * np.log(counts[seen] / counts.sum())).sum() / held_out_counts.sum())


def _character_counts(words: Bytes) -> NDArray[np.int64]:
    counts = np.bincount(words.ravel(), minlength=27)
    counts[0] = len(words)  # one end per word; the other zeros are padding
    return counts
