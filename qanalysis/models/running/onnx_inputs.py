"""How does a batch of samples enter an ONNX model? Inputs by name, in the model's types, in pieces that it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor

from qanalysis.models.calibration.samples import FIRST_INPUT, Batch
from qanalysis.notation import quote, shorten

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Input:
    """What a model takes: `code` is ONNX's element type, `sizes` are its axes, None for a free one; no sizes at all
    where the file does not say. `has_samples` says that its first axis is taken for that of the samples: it is free,
    and no name says that it runs over something else.
    """

    name: str
    code: int
    sizes: tuple[int | None, ...] | None
    has_samples: bool = True

    @classmethod
    def of(cls, value: Any) -> Input:
        """As the file declares it; ValueError for one that is no tensor of numbers."""
        kind = value.type
        if not kind.HasField("tensor_type") or kind.tensor_type.elem_type not in _KINDS:
            raise ValueError(
                f"input {quote(value.name)} of the model is no tensor of numbers, which is all that samples can hold"
            )
        shape = kind.tensor_type.shape.dim
        known = tuple(size.dim_value if size.dim_value > 0 else None for size in shape)  # some tools write -1
        has_samples = bool(known) and known[0] is None and not _NO_SAMPLES.search(shape[0].dim_param)
        sizes = known if kind.tensor_type.HasField("shape") else None
        return cls(value.name, kind.tensor_type.elem_type, sizes, has_samples)

    def __str__(self) -> str:
        axes = "any shape" if self.sizes is None else "x".join(str(size or "N") for size in self.sizes) or "one number"
        return f"{shorten(self.name, 60)} ({np.dtype(helper.tensor_dtype_to_np_dtype(self.code)).name}, {axes})"


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Some samples as the model takes them: `count` of them, padded to `size` with the last where the model takes so
    many alone. `is_bare` says that no input has an axis of samples.
    """

    feeds: Mapping[str, Array]
    count: int
    size: int
    is_bare: bool = False

    def join(self, values: Array) -> Array:
        """An output with its axis of samples, the padding left out."""
        if self.is_bare or (self.size == 1 and (values.ndim == 0 or len(values) != 1)):
            return values[np.newaxis]
        return values if self.count == self.size else values[: self.count]


#: Names of a free axis that is not that of the samples.
_NO_SAMPLES = re.compile(r"seq|len|time|token|frame|width|height", re.IGNORECASE)
_KINDS = (
    TensorProto.FLOAT,
    TensorProto.DOUBLE,
    TensorProto.INT64,
    TensorProto.INT32,
    TensorProto.INT16,
    TensorProto.INT8,
    TensorProto.UINT64,
    TensorProto.UINT32,
    TensorProto.UINT16,
    TensorProto.UINT8,
    TensorProto.BOOL,
)


def cut_pieces(inputs: Mapping[str, Input], batch: Batch) -> Iterator[Piece]:
    """The samples of a batch, in as many pieces as the model's own axis of samples asks for.

    An array of one axis more than an input without samples holds the whole input of each sample. ValueError for inputs
    that are missing or not known, and for shapes and values that the model does not take.
    """
    arrays = {name: _cast(inputs[name], values) for name, values in _match(inputs, batch).items()}
    whole = {name for name, values in arrays.items() if _is_whole(inputs[name], values)}
    sizes = {size for name in arrays if name not in whole and (size := (inputs[name].sizes or (None,))[0])}
    if len(sizes) > 1:
        raise ValueError(f"the model's inputs take {sorted(sizes)} samples at once; only one number can be served")
    size = 1 if whole else next(iter(sizes), len(batch))
    for start in range(0, len(batch), size):
        count = min(size, len(batch) - start)
        feeds = {
            name: values[start] if name in whole else _fill(values[start : start + count], size)
            for name, values in arrays.items()
        }
        yield Piece(
            {name: np.ascontiguousarray(one) for name, one in feeds.items()}, count, size, len(whole) == len(arrays)
        )


def _match(inputs: Mapping[str, Input], batch: Batch) -> dict[str, Tensor]:
    """The batch's tensors by the model's names."""
    given = dict(batch.inputs)
    if FIRST_INPUT in given and FIRST_INPUT not in inputs and inputs:
        given[next(iter(inputs))] = given.pop(FIRST_INPUT)
    missing = [name for name in inputs if name not in given]
    unknown = [name for name in given if name not in inputs]
    if missing or unknown:
        wrong = f"input {quote(missing[0])} is missing" if missing else f"{quote(unknown[0])} is no input of the model"
        takes = ", ".join(map(str, list(inputs.values())[:8]))
        raise ValueError(f"{wrong}; the model takes {takes}: give an .npz with arrays of these names")
    return given


def _cast(wanted: Input, values: Tensor) -> Array:
    array: Array = values.detach().numpy()
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(wanted.code))
    if kind.kind in "iub" and array.dtype.kind == "f":
        whole = np.isfinite(array).all() and (array == np.rint(array)).all()
        if not whole:
            raise ValueError(f"input {wanted} takes whole numbers; the data holds {_show_first(array)}")
    if kind.kind in "iu" and array.size:
        low, high = array.min(), array.max()
        if low < np.iinfo(kind).min or high > np.iinfo(kind).max:
            raise ValueError(f"input {wanted} takes {kind.name}; the data reaches from {low} to {high}")
    return array.astype(kind, copy=False)


def _show_first(array: Array) -> str:
    odd = array[~(np.isfinite(array) & (array == np.rint(array)))]
    return f"{odd.flat[0]:g}"


def _is_whole(wanted: Input, values: Array) -> bool:
    """Whether each entry of the array is a whole input; ValueError where neither fits."""
    if wanted.sizes is None:
        return False
    shape = values.shape
    if not wanted.has_samples and len(shape) == len(wanted.sizes) + 1 and _fits(wanted.sizes, shape[1:]):
        return True
    if len(shape) != len(wanted.sizes) or not _fits(wanted.sizes[1:], shape[1:]):
        raise ValueError(
            f"the data for input {wanted} has the shape {'x'.join(map(str, shape))}; its first axis is that of the "
            "samples, the others must be the input's"
        )
    return False


def _fits(sizes: tuple[int | None, ...], shape: tuple[int, ...]) -> bool:
    return len(sizes) == len(shape) and all(size in (None, have) for size, have in zip(sizes, shape, strict=True))


def _fill(values: Array, size: int) -> Array:
    """Samples repeated up to a number."""
    short = size - len(values)
    return np.concatenate([values, np.repeat(values[-1:], short, axis=0)]) if short else values
