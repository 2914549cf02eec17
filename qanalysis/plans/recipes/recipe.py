"""What is a recipe? A plan in the words of one back end: its files, and what that back end can not express."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qanalysis.plans.row import PlanRow
from qanalysis.quantizers.matrix_view import MatrixView
from qanalysis.quantizers.scheme import Scheme


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """One file of a recipe: its name as the back end expects it, and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Unexpressed:
    """A tensor of the plan that the back end can not treat as planned, why, and what it will do with it instead."""

    tensor: str
    scheme: str
    reason: str
    instead: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A plan for one back end; the first file is the one that is printed.

    `notes` are sentences that whoever applies it must know, such as a flag to give beside it.
    """

    target: str
    files: tuple[RecipeFile, ...]
    unexpressed: tuple[Unexpressed, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One tensor of a plan as recipes see it: its row, its scheme, and the module that holds it.

    `module` is the name without the last part for state-dict names ("model.layers.0.mlp.up_proj" of
    "model.layers.0.mlp.up_proj.weight"), the layer of the row where that is known. `view` are the axes of the output
    channels, "" where the plan does not tell them; `aliases` are other names of the same values.
    """

    row: PlanRow
    scheme: Scheme
    module: str
    view: str = ""
    aliases: tuple[str, ...] = ()

    @property
    def tensor(self) -> str:
        """The tensor's name."""
        return self.row.tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of its dimensions, () where they are not known."""
        return tuple(map(int, self.row.shape.split("x"))) if self.row.shape else ()

    @property
    def length(self) -> int | None:
        """How many values of a row share a scale, None where all do or rows share theirs; a group that is longer than
        the row is the row.
        """
        found = self.scheme.grouping.columns if self.scheme.grouping.rows == 1 else None
        return None if found is not None and self.columns is not None and found > self.columns else found

    @property
    def has_rows(self) -> bool:
        """Whether each row of outputs has one scale."""
        grouping = self.scheme.grouping
        return grouping.rows == 1 and self.length is None and grouping.axis in (None, 0)

    @property
    def is_transposed(self) -> bool:
        """Whether it is a matrix whose outputs are its columns, as weights of GPT-2 are stored."""
        return len(self.shape) == 2 and self.view == "1"

    @property
    def columns(self) -> int | None:
        """How many values a row has where outputs are rows: of matrices and stacks of them the inputs, of others the
        last dimension; None where the shape is not known.
        """
        if not self.shape:
            return None
        axes = MatrixView.parse(self.view) if self.view else MatrixView()
        is_matrix = not axes.fold and len(self.shape) - len(axes.rows) == 1
        return axes.sizes(self.shape)[1] if is_matrix else self.shape[-1]


def list_items(rows: Sequence[PlanRow]) -> list[Item]:
    """The rows of a plan with their schemes parsed."""
    return [Item(row, Scheme.parse(row.scheme), find_module(row)) for row in rows]


def find_module(row: PlanRow) -> str:
    """The module that holds a tensor.

    >>> facts = {"numel": 1, "scheme": "int4", "bits_per_weight": 4, "size_bytes": 1, "cost": 0, "options": 1}
    >>> find_module(PlanRow(tensor="fc1.weight", **facts))
    'fc1'
    """
    return row.layer or row.tensor.rpartition(".")[0] or row.tensor
