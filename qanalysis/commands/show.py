"""What is in a checkpoint? Its header as a list."""

from __future__ import annotations

from qanalysis.commands.deliver import deliver
from qanalysis.commands.options import AsJson, Partial, Source


def show(source: Source, *, partial: Partial = False, as_json: AsJson = False) -> None:
    """List the tensors of a file: name, role, layout, shape, type, size. Reads the header only.

    \b
    Example:
      qanalysis show model.safetensors
    """
    from qanalysis.checkpoints.catalogue import open_checkpoint
    from qanalysis.checkpoints.inventory import list_tensors

    with open_checkpoint(source, partial=partial) as checkpoint:
        table = list_tensors(checkpoint)
    deliver(table, [], as_json=as_json)
