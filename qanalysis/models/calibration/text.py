"""How does a text file become samples? The model's own tokenizer cuts it into tokens, config.json says what they are
for.

Causal language models read windows of the whole text, every other model a line at a time. Nothing is padded: lines of
one length lie in one block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from qanalysis.models.calibration.samples import Batch, Calibration, Loss, number_blocks
from qanalysis.models.factory import describe_error
from qanalysis.models.running.model_folder import ModelFolder, find_most_tokens
from qanalysis.models.running.runnable import Runnable
from qanalysis.models.running.silence import silenced
from qanalysis.notation import quote, size
from qanalysis.results.identity import SourceIdentity
from sample_models.training import IGNORED

#: Tokens of a window or line where nothing else is asked for.
LENGTH = 512
_IDS = "input_ids"
_DECODER_IDS = "decoder_input_ids"
_MOST_BYTES = 1 << 30
_CHARACTERS = 8  # of a token, more than nearly all text has, so that one piece mostly suffices
_BEHIND = 64  # tokens at the end of a piece, which the text behind it may have changed


@dataclass(frozen=True, slots=True, eq=False)
class _Reader:
    """A tokenizer for one model; samples have at most `length` tokens, at most `samples` are made."""

    tokenizer: Any
    folder: ModelFolder
    input_names: Sequence[str]
    length: int
    samples: int | None
    text: str

    def encode(self, content: str | list[str], *, cut: bool = False) -> Mapping[str, Any]:
        """What the tokenizer makes, of a list one list each; with `cut` at most `length` tokens."""
        options = {"truncation": True, "max_length": self.length} if cut else {}
        try:
            with silenced():
                found: Mapping[str, Any] = self.tokenizer(content, **options)
        except Exception as error:  # a tokenizer of transformers may raise anything
            raise ValueError(f"{quote(self.text)} can not be tokenized ({describe_error(error)})") from error
        return found

    def check(self, ids: Tensor) -> None:
        words = self.folder.config.get("vocab_size")
        if type(words) is int and ids.numel() and int(ids.max()) >= words:
            raise ValueError(
                f"{quote(self.text)} has the token {int(ids.max())} and the model {words} words; the tokenizer beside "
                "the model is another model's"
            )


def read_text(path: Path, text: str, model: Runnable, *, samples: int | None, length: int | None) -> Calibration:
    """The samples of a text file in UTF-8; `text` is what was typed.

    Raises ValueError for a model without a tokenizer, a file that is missing, empty or no text, a length below 2 or
    above what the model takes, and for tokens that the model does not have.
    """
    if model.folder is None:
        raise ValueError(
            f"{quote(text)} is text, and the model {quote(model.name)} has no tokenizer; give a Hugging Face folder as "
            "the model, or .npz data"
        )
    if model.input_names and _IDS not in model.input_names:
        raise ValueError(
            f"{quote(text)} is text, and the model {quote(model.name)} takes {', '.join(model.input_names[:8])}, no "
            f"{_IDS}; give what it takes as .npz data, or a folder of images"
        )
    content = _read(path, text)
    tokenizer = model.folder.open_tokenizer()
    asked = _choose_length(length, find_most_tokens(model.folder, tokenizer), model.name)
    reader = _Reader(tokenizer, model.folder, model.input_names, asked, samples, text)
    is_causal = model.folder.task == "causal"
    blocks, notes = _cut_windows(content, reader) if is_causal else _encode_lines(content, reader)
    loss: Loss | None = "cross-entropy" if blocks[0].targets is not None else None
    is_logits = model.folder.gives_logits or loss is not None
    source = SourceIdentity(path.name, path.stat().st_size, None)
    return Calibration(number_blocks(blocks), text, loss, is_logits, source, tuple(notes))


def _choose_length(asked: int | None, most: int | None, model: str) -> int:
    if asked is None:
        return min(LENGTH, most or LENGTH)
    if asked < 2:
        raise ValueError(f"length {asked}: a sample of text has at least 2 tokens")
    if most is not None and asked > most:
        raise ValueError(f"length {asked}: the model {quote(model)} takes at most {most} tokens; ask for no more")
    return asked


def _read(path: Path, text: str) -> str:
    try:
        bytes_ = path.stat().st_size
        if bytes_ > _MOST_BYTES:
            raise ValueError(f"text {quote(text)} has {size(bytes_)}; at most {size(_MOST_BYTES)} are read, so cut it")
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f"text {quote(text)} can not be read ({describe_error(error)})") from None
    if b"\0" in data:
        raise ValueError(f"{quote(text)} is no text in UTF-8: byte {data.index(0)} is zero; save it as plain text")
    try:
        content = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{quote(text)} is no text in UTF-8 from byte {error.start} on; save it in UTF-8") from None
    if not content.strip():
        raise ValueError(f"text {quote(text)} is empty; give at least one line of words")
    return content


def _cut_windows(content: str, reader: _Reader) -> tuple[list[Batch], list[str]]:
    """Windows of the whole text, the last shorter one its own block; each token's target is the next one."""
    ids = torch.tensor(_encode_enough(content, reader), dtype=torch.int64)
    reader.check(ids)
    whole = len(ids) // reader.length
    parts = [ids[: whole * reader.length].reshape(whole, reader.length), ids[whole * reader.length :].reshape(1, -1)]
    kept = [part for part in parts if len(part) and part.shape[1] > 1]
    if not kept:
        raise ValueError(
            f"text {quote(reader.text)} has {len(ids)} token; the next one is asked for, so give 2 or more"
        )
    note = f"windows of at most {reader.length} tokens of the whole text; the loss is that of each next token"
    return [Batch(_name_inputs(part, {}, reader), _shift(part)) for part in kept], [note]


def _encode_enough(content: str, reader: _Reader) -> list[int]:
    """The tokens of the text, or the first that suffice for the samples that are asked for."""
    if reader.samples is None:
        return list(reader.encode(content)[_IDS])
    wanted = max(reader.samples, 1) * reader.length
    taken = wanted * _CHARACTERS
    while True:
        ids = list(reader.encode(content[:taken])[_IDS])
        if taken >= len(content) or len(ids) >= wanted + _BEHIND:
            return ids[:wanted]
        taken *= 4


def _shift(ids: Tensor) -> Tensor:
    targets = torch.full_like(ids, IGNORED)
    targets[:, :-1] = ids[:, 1:]
    return targets


def _encode_lines(content: str, reader: _Reader) -> tuple[list[Batch], list[str]]:
    """One sample per line that is not empty, those of equal length together."""
    lines = [line for line in content.splitlines() if line.strip()]
    lines = lines if reader.samples is None else lines[: max(reader.samples, 1)]
    found = reader.encode(lines, cut=True)
    by_length = dict[int, list[int]]()
    for place, ids in enumerate(found[_IDS]):
        if ids:
            by_length.setdefault(len(ids), []).append(place)
    if not by_length:
        raise ValueError(f"text {quote(reader.text)} has no line of which the tokenizer makes tokens; give words")
    blocks = list[Batch]()
    for places in by_length.values():
        named = {name: torch.tensor([rows[place] for place in places]) for name, rows in found.items()}
        reader.check(named[_IDS])
        blocks.append(_make_block(named, reader))
    cut = sum(len(ids) == reader.length for ids in found[_IDS])
    notes = (
        [f"{cut} of {len(lines)} lines have {reader.length} tokens, which is where longer ones are cut"] if cut else []
    )
    if reader.folder.config.get("is_encoder_decoder"):
        notes.append("the decoder is given each line itself, a token behind; the loss is that of the line's own tokens")
    return blocks, notes


def _make_block(named: Mapping[str, Tensor], reader: _Reader) -> Batch:
    ids = named[_IDS]
    inputs = _name_inputs(ids, named, reader)
    if not reader.folder.config.get("is_encoder_decoder"):
        return Batch(inputs)
    first = next(
        (value for key in ("decoder_start_token_id", "pad_token_id", "bos_token_id")
         if type(value := reader.folder.config.get(key)) is int),
        0,
    )  # fmt: skip
    behind = torch.cat([torch.full((len(ids), 1), first), ids[:, :-1]], 1)
    is_generating = reader.folder.architecture.endswith("ForConditionalGeneration")
    return Batch({**inputs, _DECODER_IDS: behind}, ids if is_generating else None)


def _name_inputs(ids: Tensor, named: Mapping[str, Tensor], reader: _Reader) -> dict[str, Tensor]:
    """What the tokenizer made and the model takes, the tokens first; masks and types that it left out say nothing."""
    given = {_IDS: ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids), **named}
    if not reader.input_names:
        return {_IDS: ids, **named}
    return {name: values for name, values in given.items() if name in reader.input_names}
