"""How are a model and its data chosen in a command? The options of `sensitivity`, `forms` and `activations`, once."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from qanalysis.notation import quote

if TYPE_CHECKING:
    from qanalysis.models.running.runnable import Runnable

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="sample:NAME, package.module:factory, a Hugging Face folder or hf://OWNER/REPO, an .onnx file, or a "
        ".pt2 program with --trust-code.",
    ),
]
Weights = Annotated[
    str | None, typer.Option(metavar="FILE", help="A checkpoint whose tensors take the place of the model's own.")
]
Calib = Annotated[
    str,
    typer.Option(
        "--calib",
        metavar="DATA",
        help="An .npz (x, and labels y) or .npy, a text file, a folder of images, package.module:factory, or sample.",
    ),
]
Samples = Annotated[int | None, typer.Option(metavar="N", help="Take the first N samples. Default: all.")]
Length = Annotated[int | None, typer.Option(metavar="N", help="Tokens of a sample of text. Default: 512 at most.")]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch", metavar="N", help="Samples at once; changes no figure. Default: as memory allows."),
]
Averaging = Annotated[
    str,
    typer.Option(
        metavar="none|moving",
        help="Static ranges of inputs: over all samples, or a moving average of the ends over batches.",
    ),
]
TrustCode = Annotated[
    bool, typer.Option("--trust-code", help="Load a .pt2 program, whose loading may run code of its maker.")
]

AVERAGINGS = ("none", "moving")


@contextmanager
def running(text: str, *, weights: str | None, trust_code: bool) -> Iterator[Runnable]:
    """The model that a text names; what it prints, when it is made and when it runs, goes to standard error."""
    from qanalysis.models.running.opening import open_model

    with redirect_stdout(sys.stderr), open_model(text, weights=weights, trust_code=trust_code) as opened:
        yield opened


def read_words(text: str, option: str, known: Sequence[str]) -> list[str]:
    """The words of a list with commas; ValueError for one that is not known."""
    words = [word.strip() for word in text.split(",")]
    for word in words:
        if word not in known:
            raise ValueError(f"{option} {quote(text)}: {quote(word)} is none of {', '.join(known)}")
    return list(dict.fromkeys(words))


def read_word(text: str, option: str, known: Sequence[str]) -> str:
    """One word; ValueError for one that is not known."""
    if text not in known:
        raise ValueError(f"{option} {quote(text)}: is none of {', '.join(known)}")
    return text
