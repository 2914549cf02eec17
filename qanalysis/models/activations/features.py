"""Along which axis of a layer's input or output do features lie? Along the last, but along the second of convolutions
and of what normalises their outputs.

An activation is a matrix: its rows are tokens, all axes but that of the features; its columns are the features.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.modules.conv import _ConvNd as Convolution
from torch.nn.modules.instancenorm import _InstanceNorm as InstanceNorm

from qanalysis.models.running.runnable import Layer, Runnable
from qanalysis.models.running.tensors import name_type
from qanalysis.models.running.torch_model import TorchModel
from qanalysis.quantizers.matrix_view import MatrixView

_PLANES_FIRST = (Convolution, BatchNorm, InstanceNorm, nn.GroupNorm, nn.PReLU)
#: The same by how their names begin, for parts of exported programs.
_NAMES = ("BatchNorm", "InstanceNorm", "GroupNorm", "PReLU")
_CONVOLUTIONS = tuple(f"{kind}{axes}d" for kind in ("Conv", "ConvTranspose") for axes in (1, 2, 3))


def find_feature_axis(model: Runnable, layer: Layer, shape: tuple[int, ...]) -> int:
    """The axis of the features in an activation of this shape: of a convolution the axis before its planes, (n, c, ...)
    or (c, ...), else the last.

    The type of the module tells; of a model that is no torch module, the weight's shape does.
    """
    last = len(shape) - 1
    if isinstance(model, TorchModel):
        module = model.find(layer.tensor.name).module
        kind = name_type(module)
        if isinstance(module, Convolution) or kind in _CONVOLUTIONS:
            kernel = module.weight
            return max(last - (kernel.ndim - 2), 0) if isinstance(kernel, Tensor) else 1
        return 1 if (isinstance(module, _PLANES_FIRST) or kind.startswith(_NAMES)) and last >= 1 else last
    weight = layer.tensor.shape
    holds_planes = not layer.is_linear and 3 <= len(weight) == len(shape)
    return 1 if holds_planes and (shape[1] % weight[1] == 0 or shape[1] == weight[0]) else last


def view_tokens(feature_axis: int, rank: int) -> MatrixView:
    """The view whose rows are tokens and whose columns are features.

    >>> view_tokens(1, 4)
    MatrixView(rows=(0, 2, 3), fold=())
    """
    return MatrixView(tuple(axis for axis in range(rank) if axis != feature_axis))
