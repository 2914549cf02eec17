"""What is in a file of bare words? One channel of them, of the type that is stated, that the suffix tells, or that the
bytes themselves give away.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qanalysis.converters.findings import Finding
from qanalysis.converters.records.block_header import Block, find_block
from qanalysis.converters.records.reading import Reading
from qanalysis.converters.records.samples import RecordError, Samples, refuse_choice
from qanalysis.converters.records.source_file import HEAD_BYTES
from qanalysis.converters.records.word_guess import WINDOW_BYTES, Guess, guess_words
from qanalysis.converters.records.word_types import WordType, read_words
from qanalysis.notation import decibels, percent

#: Suffixes that say what the words are, as radio receivers write them.
TYPED_SUFFIXES = {
    ".cu8": "cu8",
    ".cs8": "ci8",
    ".cs16": "ci16le",
    ".cf32": "cf32le",
    ".cfile": "cf32le",
    ".f32": "f32le",
    ".f64": "f64le",
    ".s16": "i16le",
    ".u8": "u8",
}
PAIRED_SUFFIX = ".iq"  # pairs I, Q of words whose type it does not say
_FEWEST_BYTES = 64  # below which nothing is evident
_DEFAULT = WordType("i", 16)


def read_raw(path: Path, reading: Reading) -> Samples:
    """One channel of a file of words; a block header before them is passed over, with a note.

    Words that several channels, or I and Q, evidently give in turns are refused unless the type is stated. Raises
    RecordError for that, an unknown type, a channel that is not there, and a file without a whole frame.
    """
    place = path.name
    refuse_choice("column", reading.column, place, instead="choose a channel")
    block = look_for_block(path)
    offset, length = (block.offset, block.length) if block else (0, path.stat().st_size)
    stated = reading.dtype or TYPED_SUFFIXES.get(path.suffix.casefold())
    notes: tuple[Finding, ...] = (block.note,) if block else ()
    if stated is not None:
        words = WordType.parse(stated, place)
    else:
        words, guess_notes = _choose_words(path, offset, length)
        notes += guess_notes
    samples = read_words(path, words, channel=reading.channel, offset=offset, length=length)
    return replace(samples, notes=notes + samples.notes)


def look_for_block(path: Path, *, before: int = 64) -> Block | None:
    """The block header of a file, None where it has none; RecordError where what follows it is cut short."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
        size = file.seek(0, 2)
        file.seek(max(0, size - 2))
        return find_block(head, file.read(2), size, path.name, before=before)


def _choose_words(path: Path, offset: int, length: int) -> tuple[WordType, tuple[Finding, ...]]:
    """The type that the bytes give away, and how surely."""
    paired = path.suffix.casefold() == PAIRED_SUFFIX
    data = _read_window(path, offset, length)
    if data.size < _FEWEST_BYTES or int(data.min()) == int(data.max()):
        words = replace(_DEFAULT, is_complex=paired)
        reason = f"{data.size} bytes, {np.unique(data).size} different ones, do not tell the type of their words"
        return words, (_tell_doubt(reason, words, ()),)
    guess = guess_words(data)
    words = replace(guess.words, is_complex=paired)
    found = (
        f"{words.name} takes {percent(guess.cost)} of the bits that the bytes have, {guess.other.name} "
        f"{percent(guess.other_cost)}"
    )
    if not guess.is_clear:
        notes: tuple[Finding, ...] = (_tell_doubt(found, words, (guess.other.name,)),)
    else:
        text = f"Words read as {words.name}: foretold by their neighbours, {found}. State another type with --dtype."
        notes = (Finding("words", text),)
    if guess.turns > 1 and not paired:
        notes += (_tell_turns(guess, path.name),)
    return words, notes


def _tell_doubt(reason: str, words: WordType, others: tuple[str, ...]) -> Finding:
    names = ", ".join(dict.fromkeys((words.name, *others, "u8", "i16le", "i16be")))
    text = f"Words read as {words.name}, which is no more than a guess: {reason}. State the type with --dtype: {names}."
    return Finding("words-doubtful", text)


def _tell_turns(guess: Guess, place: str) -> Finding:
    """That words look taken in turns; RecordError where one converter can hardly have given them."""
    one = guess.words.name
    several = f"{one}*{guess.turns}" + (f" or c{one}" if guess.turns == 2 else "")
    image = decibels(10 * float(np.log10(guess.image)), digits=1)
    kind = "two channels, or I and Q," if guess.turns == 2 else f"{guess.turns} channels"
    if guess.is_interleaved:
        raise RecordError(
            f"{place}: the words, {one}, look interleaved: {kind} in turns give each line an image, here of {image}. "
            f"Give --dtype {several}, or --dtype {one} where it is one channel"
        )
    text = (
        f"The highest line has an image of {image}, as {kind} in turns give it, and an interleaved converter whose "
        f"parts differ. Give --dtype {several} where they are."
    )
    return Finding("interleaved", text, guess.turns)


def _read_window(path: Path, offset: int, length: int) -> NDArray[np.uint8]:
    """The bytes that are looked at: from a third of the file on, past what precedes a trigger, in whole frames."""
    start = 0 if length <= 2 * WINDOW_BYTES else length // 3 // WINDOW_BYTES * WINDOW_BYTES
    with path.open("rb") as file:
        file.seek(offset + start)
        return np.frombuffer(file.read(min(WINDOW_BYTES, length - start)), np.uint8)
