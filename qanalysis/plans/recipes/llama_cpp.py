r"""What does llama-quantize make of a plan? One line `^name$=type` for each tensor, and the command that takes them.

An item is cut at its first "=" and its pattern lower-cased, then searched anywhere in the names; of two lines that
match, older programs take the last and newer ones the first. So each line is anchored, escaped, in lower case, and the
only one that matches its tensor. A base type that no line names leaves nothing to the program's own mixes, also where
a line with the base type is passed over. There are no comments and no blanks: a word without "=" ends the run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qanalysis.notation import escape, shorten
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.gguf_tensors import KeptTensor, Stack, gather_stacks, list_kept
from qanalysis.plans.recipes.known import take_known
from qanalysis.plans.recipes.recipe import Item, Recipe, RecipeFile, Unexpressed
from qanalysis.quantizers.formats import FORMATS

#: A base type is one that is not used by any line; those from the sixth on are never planned here, only kept.
_BASES = ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl", "q6_k", "q5_k", "q4_k", "q3_k", "q2_k")
_CASTS = {"bfloat16": "bf16", "float16": "f16"}
_KEPT = {"float32": "f32", "float64": "f32", **_CASTS}
_PACKED = re.compile(r"(q|iq|tq)[0-9]_\w+|mxfp4|nvfp4")
_BLOCK_OF_NVFP4 = 64
#: What a row that the block does not divide becomes; other types have no way out there and end the run.
_FALLBACKS = {"tq1_0": "q4_0", "tq2_0": "q4_0"}
# Names of matrices that the program copies as they are, whatever a line says.
_COPIED = re.compile(
    r"_norm\.weight|ffn_gate_inp\.weight|ffn_gate_tid2eid|altup|laurel|per_layer_model_proj|^position_embd\.weight"
    r"|^token_types\.weight|ssm_conv1d|shortconv\.conv\.weight|time_mix_(first|w[012]|v[012]|a[012]|g[12])\.weight"
    r"|time_mix_decay_w[12]\.weight|time_mix_lerp_fused\.weight|attn_rel_b\.weight|\.position_embd|\.rel_pos"
    r"|\.patch_embd|\.patch_merger|indexer\.[kq]_proj\.weight|(?<!weight)$"
)
_SPECIAL = {"output.weight": "--output-tensor-type", "token_embd.weight": "--token-embedding-type"}
# The program takes the option for embeddings for this tensor as well.
_OTHER_EMBEDDING = "per_layer_token_embd.weight"


@dataclass(frozen=True, slots=True)
class _Line:
    """A tensor of the GGUF file and its type."""

    name: str
    type: str

    def __str__(self) -> str:
        return f"{write_pattern(self.name)}={self.type}"


def write_llama_cpp(plan: Plan, *, partial: bool = False) -> Recipe:
    """Tensor types for llama-quantize, as a file and as a command; ValueError for a format that it does not know."""
    items, unexpressed = take_known(plan, "llama.cpp", partial=partial)
    stacks, nameless = gather_stacks(items, plan)
    unexpressed += [_tell_nameless(item) for item in nameless]
    lines = list[_Line]()
    for stack in stacks:
        line, told = _choose_type(stack)
        unexpressed += told
        lines += [line] if line else []
    stacked = {stack.name for stack in stacks}
    kept = [one for one in list_kept(plan) if one.name not in stacked and _is_in_danger(one)]
    lines += [_Line(one.name, _keep_type(one.dtype)) for one in kept]
    clear, hidden = _part_matching(lines)
    unexpressed += _tell_hidden(hidden, stacks)
    used = {line.type for line in clear}
    base = next((one for one in _BASES if one not in used), _BASES[0])
    return Recipe(
        "llama.cpp",
        (
            RecipeFile("tensor_types.txt", "".join(f"{line}\n" for line in clear)),
            RecipeFile("llama-quantize.sh", _write_script(clear, base)),
        ),
        tuple(dict.fromkeys(unexpressed)),
        (*_list_notes(clear, base, kept, items), *_tell_requantizing(plan)),
    )


def write_pattern(name: str) -> str:
    r"""An expression that finds this name alone and stays itself in lower case, without blanks and without "=".

    A capital letter becomes any character that is no small letter: the program looks for the lower-cased pattern in
    names as they are.

    >>> write_pattern("blk.3.attn_q.weight"), write_pattern("V=x")
    ('^blk\\.3\\.attn_q\\.weight$', '^[^a-z]\\x3dx$')
    """
    return f"^{''.join(map(_escape, name))}$"


def _escape(letter: str) -> str:
    if letter in "^$\\.*+?()[]{}|/":
        return f"\\{letter}"
    if letter == "=" or (ord(letter) < 128 and not letter.isprintable()) or letter == " ":
        return f"\\x{ord(letter):02x}"
    return "[^a-z]" if "A" <= letter <= "Z" else letter


def _choose_type(stack: Stack) -> tuple[_Line | None, list[Unexpressed]]:
    """The line of a tensor of the file, and what it can not say of the tensors of the plan that are in it."""
    if _COPIED.search(stack.name) or len(stack.items[0].shape) == 1:
        return None, [
            Unexpressed(
                item.tensor,
                str(item.scheme),
                "llama-quantize never quantizes a tensor of its name or of one dimension",
                "it is copied in the type of the input file",
            )
            for item in stack.items
        ]
    widest = max(stack.items, key=lambda item: item.row.bits_per_weight)
    wanted = _name_type(widest)
    told = [
        Unexpressed(
            item.tensor,
            str(item.scheme),
            f"{shorten(escape(stack.name))} holds {len(stack.items)} tensors of the plan and has one type; plan them "
            "as one with --tie llama.cpp",
            f"{wanted}, the widest of theirs",
        )
        for item in stack.items
        if _name_type(item) != wanted
    ]
    block = _BLOCK_OF_NVFP4 if wanted == "nvfp4" else FORMATS[str(widest.scheme.format)].block or 1
    if stack.row_length is None or stack.row_length % block == 0:
        return _Line(stack.name, wanted), told
    fallback = _FALLBACKS.get(wanted, "f16")
    found = fallback if stack.row_length % 32 == 0 else "f16"
    told += [
        Unexpressed(
            item.tensor,
            str(item.scheme),
            f"rows of {stack.row_length} values are not divisible by {block}, the block of {wanted}",
            f"{found}, as its line says: llama-quantize would "
            + ("fall back to it" if wanted in _FALLBACKS else "end the run"),
        )
        for item in stack.items
        if _name_type(item) == wanted
    ]
    return _Line(stack.name, found), told


def _name_type(item: Item) -> str:
    """The type of a scheme in the words of ggml."""
    name = str(item.scheme.format)
    return _CASTS.get(name) or name.removeprefix("gguf:").partition(":")[0]


def _is_in_danger(kept: KeptTensor) -> bool:
    """Whether the program would quantize a tensor without a scheme if no line named it."""
    return not kept.is_vector and not _COPIED.search(kept.name) and bool(_keep_type(kept.dtype))


def _keep_type(dtype: str) -> str:
    """The type that leaves a tensor as it is; empty for what is no weight."""
    return _KEPT.get(dtype) or (dtype if _PACKED.fullmatch(dtype) else "")


def _part_matching(lines: Sequence[_Line]) -> tuple[list[_Line], list[_Line]]:
    """Lines that are alone in matching their tensor, and those whose pattern finds another tensor too."""
    free = [line for line in lines if any("A" <= letter <= "Z" for letter in line.name)]
    hidden = {
        line.name
        for line in free
        for other in lines
        if other is not line and re.search(write_pattern(line.name), other.name)
    }
    return [line for line in lines if line.name not in hidden], [line for line in lines if line.name in hidden]


def _tell_hidden(hidden: Iterable[_Line], stacks: Iterable[Stack]) -> list[Unexpressed]:
    named = {stack.name: stack for stack in stacks}
    return [
        Unexpressed(
            item.tensor,
            str(item.scheme),
            "patterns are lower-cased, and another tensor has the same name but for capital letters",
            "the base type",
        )
        for line in hidden
        if line.name in named
        for item in named[line.name].items
    ]


def _tell_nameless(item: Item) -> Unexpressed:
    return Unexpressed(
        item.tensor, str(item.scheme), "it has no name in GGUF", "the base type, if the converter writes it at all"
    )


def _find_options(lines: Sequence[_Line]) -> list[str]:
    """The options that output and token embeddings have of their own, beside their lines."""
    types = {line.name: line.type for line in lines}
    if types.get(_OTHER_EMBEDDING, types.get("token_embd.weight")) != types.get("token_embd.weight"):
        types.pop("token_embd.weight", None)
    return [word for name, option in _SPECIAL.items() if name in types for word in (option, types[name])]


def _write_script(lines: Sequence[_Line], base: str) -> str:
    """A shell command with all lines in it: programs that do not know --tensor-type-file take it too."""
    words = [f"--tensor-type {shlex.quote(str(line))}" for line in lines]
    options = _find_options(lines)
    words += [" ".join(options[at : at + 2]) for at in range(0, len(options), 2)]
    command = " \\\n  ".join(["exec llama-quantize", *words, f'"$1" "$2" {base}'])
    return f"#!/bin/sh\n# Usage: llama-quantize.sh INPUT.gguf OUTPUT.gguf\n{command}\n"


def _tell_requantizing(plan: Plan) -> list[str]:
    """A note where the plan is of a file whose weights are packed already."""
    if plan.source is None or not plan.source.stored.startswith("gguf:"):
        return []
    return ["the file is quantized already: add --allow-requantize, and the errors of both quantizations add up"]


def _list_notes(lines: Sequence[_Line], base: str, kept: Sequence[KeptTensor], items: Sequence[Item]) -> list[str]:
    """What whoever runs it must know."""
    command = ["llama-quantize", "--tensor-type-file", "tensor_types.txt", *_find_options(lines)]
    why = (
        f"the base type {base} is one that no line names, so that no line is passed over for being equal to it; do not "
        "add --pure: older programs ignore every line with it"
    )
    notes = [
        f"run: {' '.join(command)} INPUT.gguf OUTPUT.gguf {base}; with --dry-run before INPUT it only counts bytes",
        why,
    ]
    guessed = sum(one.is_guessed for one in kept)
    if guessed:
        notes.append(
            f"the plan does not tell the types of {guessed} tensors that are kept as they are: their lines say what "
            "the planned ones are stored as"
        )
    if any(str(item.scheme.format) == "nvfp4" for item in items):
        notes.append(
            "nvfp4 of llama.cpp has no scale over the tensor: its values are those of nvfp4:one-level, the error is "
            "another than planned"
        )
    return notes
