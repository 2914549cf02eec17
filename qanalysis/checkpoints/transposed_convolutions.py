"""Is a kernel that of a transposed convolution, (in, out / groups, k..), and in how many groups?

The length of the bias decides; names are hints. Rows of a grouped one are (group, output of the group): output channel
(c // (C / g)) · (M / g) + m of input channel c.
"""

from __future__ import annotations

import re

from qanalysis.checkpoints.siblings import Reading, Shape, Siblings
from qanalysis.checkpoints.source import TensorInfo
from qanalysis.quantizers.matrix_view import MatrixView

_SAYS_SO = re.compile(r"conv(olution)?_?(\dd_?)?t(r|rans|ransposed?)?(?![a-z])|deconv|transposed?_?conv|tconv|convt\d")
_HINTS = re.compile(r"up_?conv(?!e)|upsampl|(?:^|[./])ups[./]\d+(?:[./]\d+)?[./][a-z_.0-9]*$")
_TAIL = 120
_ONE_GROUP = "a transposed convolution by its name, without a bias: one group assumed; override with --axis"
_DEPTHWISE = "a transposed convolution by its name, without a bias: taken for a depthwise one; override with --axis"


def view_transposed(info: TensorInfo, siblings: Siblings) -> Reading | None:
    """The view of a transposed convolution's kernel of three to five axes; None for any other tensor."""
    shape = info.shape
    if not 3 <= len(shape) <= 5 or not shape[1]:
        return None
    tail = info.name[-_TAIL:].lower()
    says_so = "conv" in tail and bool(_SAYS_SO.search(tail))
    hints = "up" in tail and bool(_HINTS.search(tail))
    outputs = _count_outputs(info.name, siblings)
    if outputs is None:
        return _view_without_bias(shape) if says_so or (hints and shape[-1] % 2 == 0) else None
    groups = outputs // shape[1]
    if outputs % shape[1] or shape[0] % max(groups, 1) or groups < 1:
        return None
    if outputs == shape[0] and not (says_so or (hints and shape[-1] % 2 == 0)):
        return None
    return Reading(_view_groups(shape, groups))


def _view_without_bias(shape: Shape) -> Reading:
    """One group; a kernel with a single output per group is taken for a depthwise one."""
    return Reading(MatrixView((1,)), _ONE_GROUP) if shape[1] > 1 else Reading(note=_DEPTHWISE)


def _view_groups(shape: Shape, groups: int) -> MatrixView:
    if groups == 1:
        return MatrixView((1,))
    return MatrixView((0, 2), (groups, shape[0] // groups, *shape[1:]))


def _count_outputs(name: str, siblings: Siblings) -> int | None:
    """Output channels by the bias, else by the normalisation that comes next in a numbered sequence."""
    bias = siblings.find_bias(name)
    if bias is not None:
        return bias[0] if len(bias) == 1 else None
    sequence = re.fullmatch(r"(.*[./])?(\d{1,6})([./])weight", name, re.DOTALL)
    if not sequence:
        return None
    following = f"{sequence[1] or ''}{int(sequence[2]) + 1}{sequence[3]}"
    gain, mean = siblings.find_shape(f"{following}weight"), siblings.find_shape(f"{following}running_mean")
    return gain[0] if gain and gain == mean and len(gain) == 1 else None
