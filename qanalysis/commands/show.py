"""What is in a checkpoint? Its header as a list."""

from __future__ import annotations

from qanalysis.commands.options import AsJson, Source


def show(source: Source, *, as_json: AsJson = False) -> None:
    """List the tensors of a file: name, shape, dtype, size. Reads the header only.

    \b
    Example:
      qanalysis show model.safetensors
    """
    from qanalysis.checkpoints import open_checkpoint
    from qanalysis.reports.inventory import describe_tensors
    from qanalysis.reports.terminal import print_inventory, print_json

    with open_checkpoint(source) as checkpoint:
        inventory = describe_tensors(checkpoint)
    print_json(inventory) if as_json else print_inventory(inventory)
