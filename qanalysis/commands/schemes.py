"""How are schemes and tensors chosen in a command? The options of `sweep`, `sensitivity` and `activations`, once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, cast

import typer

from qanalysis.notation import quote

if TYPE_CHECKING:
    from qanalysis.quantizers.scheme import Scheme
    from qanalysis.sweeps.selection import Roles

GROUPINGS = "tensor,channel,group=128,group=32"

Groupings = Annotated[
    str | None,
    typer.Option(metavar="LIST", help=f"tensor, channel, group=N, block=RxC. Default {GROUPINGS}."),
]
ChannelGroupings = Annotated[
    str | None, typer.Option("--grouping", metavar="LIST", help="tensor, channel, group=N, block=RxC. Default channel.")
]
Symmetries = Annotated[
    str | None, typer.Option(metavar="LIST", help="sym, sym-full, sym-noclip, sym-clip, asym. Default sym.")
]
Ranges = Annotated[
    str | None,
    typer.Option("--range", metavar="LIST", help="minmax, percentile:99.9, meanstd:3, mse, kl. Default minmax."),
]
Formats = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="LIST",
        help="mxfp4, nf4, gguf:q4_0, ...; instead of the integers, or after those of --bits.",
    ),
]
SchemeTexts = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help="A whole scheme, such as 'int4 group=128'; may be repeated. Not together with the lists.",
    ),
]
Include = Annotated[str | None, typer.Option(metavar="REGEX", help="Only tensors whose name has a match.")]
Exclude = Annotated[str | None, typer.Option(metavar="REGEX", help="No tensors whose name has a match.")]
RoleList = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="Measure tensors of these roles, such as weight,norm. Default: weights and embeddings with two or "
        "more dimensions.",
    ),
]
Every = Annotated[bool, typer.Option("--all", help="Measure every tensor, whatever it is for.")]
Axis = Annotated[
    list[str] | None,
    typer.Option(
        metavar="REGEX=AXIS[,AXIS]",
        help="Axes of the output channels of the tensors whose name has a match; may be repeated.",
    ),
]


def choose_roles(text: str | None, *, every: bool, weights_only: bool) -> Roles:
    """The roles that are measured; ValueError where the options contradict each other."""
    given = [
        name
        for name, value in (("--roles", text is not None), ("--all", every), ("--weights-only", weights_only))
        if value
    ]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} exclude each other; give one of them")
    if every or text == "all":
        return "all"
    return None if text is None else cast("Roles", [word.strip() for word in text.split(",") if word.strip()])


def choose_schemes(
    texts: Sequence[str], *, bits_by_default: str = "2-8", groupings_by_default: str = GROUPINGS, **lists: str | None
) -> list[Scheme]:
    """The schemes: whole ones in the order given, or lists crossed, groupings outermost and formats innermost.

    Without any option the widths and groupings by default, symmetric, minmax. Raises ValueError for both ways
    together, and for a list that none of the formats leaves open.
    """
    from qanalysis.quantizers.crossing import cross_schemes
    from qanalysis.quantizers.families import integer_format
    from qanalysis.quantizers.grouping import parse_grouping
    from qanalysis.quantizers.number_format import NumberFormat
    from qanalysis.quantizers.ranges import parse_range
    from qanalysis.quantizers.scheme import Scheme
    from qanalysis.quantizers.symmetries import parse_symmetry
    from qanalysis.quantizers.words import parse_bits, parse_format

    given = {name: text.split(",") for name, text in lists.items() if text is not None}
    if texts and given:
        mixed = ", ".join(f"--{name}" for name in given)
        raise ValueError(
            f"--scheme {quote(texts[0])} can not be mixed with {mixed}; "
            "a sweep takes whole schemes or lists to cross, never both"
        )
    if texts:
        return [Scheme.parse(text) for text in texts]
    widths = (
        parse_bits(bits_by_default if lists["bits"] is None else lists["bits"])
        if "bits" in given or "format" not in given
        else []
    )
    chosen: list[NumberFormat] = [*map(integer_format, widths), *map(parse_format, given.get("format", []))]
    for part in ("grouping", "symmetry", "range"):
        if part in given and all(part in fmt.fixed for fmt in chosen):
            raise ValueError(
                f"--{part} {lists[part]}: no {part} can be chosen for {', '.join(map(str, chosen))}; "
                "leave the option out"
            )
    return cross_schemes(
        chosen,
        groupings=[parse_grouping(text) for text in given.get("grouping", groupings_by_default.split(","))],
        symmetries=[parse_symmetry(text) for text in given.get("symmetry", ["sym"])],
        ranges=[parse_range(text) for text in given.get("range", ["minmax"])],
        keep_usual_groups="grouping" not in given,
    )
