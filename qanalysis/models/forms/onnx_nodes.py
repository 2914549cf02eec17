"""Which operations of ONNX quantize and dequantize? Those around a weight's codes, and those on a layer's way in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from qanalysis.models.forms.onnx_codes import Codes, find_dtype, find_range, name_type
from qanalysis.quantizers.coders import FixedCoder, SignCoder
from qanalysis.quantizers.quantizer import LevelQuantizer

#: Of activations: ONNX Runtime's optimizer stumbles over clipped ones of 4 bits.
_FEWEST_BITS = 8


@dataclass(slots=True)
class Written:
    """Operations and constants that were added for one tensor, and the name of what they give."""

    name: str
    result: str
    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)

    def hold(self, word: str, array: Any) -> str:
        """One more constant; its name."""
        name = f"{self.name}_{word}" if word else self.name
        self.constants.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def step(self, op: str, inputs: list[str], word: str, **attributes: Any) -> None:
        """One more operation, on what the last gave where no inputs are named."""
        result = f"{self.name}_{word}"
        self.nodes.append(helper.make_node(op, inputs, [result], name=f"{self.name}_{op}_{word}", **attributes))
        self.result = result


def write_weight(name: str, held: Codes, code: int, *, is_apart: bool) -> Written:
    """A weight's codes under its own name, and the operations that give the float tensor of ONNX's type `code`.

    With `is_apart` a Reshape stands between it and a product: of the two alone ONNX Runtime makes an operator that
    quantizes the product's other factor, too, block by block to 8 bits, which nobody asked for.
    """
    made = Written(name, name)
    inputs = [made.hold("", held.codes), made.hold("scale", held.scale)]
    if held.zero_point is not None:
        inputs.append(made.hold("zero_point", held.zero_point))
    keys: dict[str, int] = {} if held.axis is None else {"axis": held.axis}
    if held.block is not None:
        keys["block_size"] = held.block
    made.step("DequantizeLinear", inputs, "dequantized", **keys)
    if is_apart and held.padded is None and held.shape is None:
        made.step("Reshape", [made.result, made.hold("sizes", np.array(held.codes.shape))], "apart")
    if held.padded is not None:
        made.step("Reshape", [made.result, made.hold("rows", np.array(held.padded))], "matrix")
    if held.cut is not None:
        ends = [made.hold(word, np.array([value])) for word, value in (("start", 0), ("stop", held.cut), ("axis", 1))]
        made.step("Slice", [made.result, *ends], "cut")
    if held.shape is not None:
        made.step("Reshape", [made.result, made.hold("folded", np.array(held.shape))], "unfolded")
    if held.order is not None:
        made.step("Transpose", [made.result], "turned", perm=list(held.order))
    if held.final is not None:
        made.step("Reshape", [made.result, made.hold("shape", np.array(held.final))], "whole")
    if code != TensorProto.FLOAT:
        made.step("Cast", [made.result], "cast", to=code)
    return made


def write_activation(name: str, source: str, quantizer: LevelQuantizer, code: int, *, opset: int) -> Written:
    """Operations that quantize and dequantize a value of ONNX's type `code`, one range for all of it.

    Values beyond the format's own ends are clipped where the stored type reaches farther. ValueError for a format that
    ONNX can not hold, and for more ranges than one.
    """
    if quantizer.layout.groups != 1 or quantizer.grid.scale.size != 1:
        raise ValueError(
            f"activations with {quantizer.grid.scale.size:,} ranges can not be written as QuantizeLinear; take one "
            "range for each layer, such as int8"
        )
    made = Written(name, source)
    if code != TensorProto.FLOAT:
        made.step("Cast", [source], "widened", to=TensorProto.FLOAT)
    if isinstance(quantizer.grid.coder, SignCoder):
        _write_signs(made, quantizer)
    else:
        _write_codes(made, quantizer, name_type(quantizer, opset=opset, fewest_bits=_FEWEST_BITS))
    if code != TensorProto.FLOAT:
        made.step("Cast", [made.result], "cast", to=code)
    return made


def _write_codes(made: Written, quantizer: LevelQuantizer, word: str) -> None:
    grid = quantizer.grid
    gap = np.float32(grid.coder.widest_gap if isinstance(grid.coder, FixedCoder) else 1)
    if (quantizer.code_min, quantizer.code_max) != find_range(word):
        low, high = (np.float32(end[0]) * grid.scale[0] for end in grid.ends)
        made.step("Clip", [made.result, made.hold("low", low), made.hold("high", high)], "clipped")
    zero = np.asarray(np.int32(grid.zero_point[0])).astype(find_dtype(word))
    parts = [made.hold("scale", np.float32(grid.scale[0] * gap)), made.hold("zero_point", zero)]
    made.step("QuantizeLinear", [made.result, *parts], "quantized")
    made.step("DequantizeLinear", [made.result, *parts], "dequantized")


def _write_signs(made: Written, quantizer: LevelQuantizer) -> None:
    """-scale below zero, else scale; zero where the threshold says so. QuantizeLinear rounds, which is not the sign."""
    grid, source = quantizer.grid, made.result
    level = np.float32(grid.scale[0])
    zero = made.hold("zero", np.float32(0))
    made.step("Less", [source, zero], "negative")
    levels = [made.hold("minus", -level), made.hold("plus", level)]
    made.step("Where", [made.result, *levels], "signs")
    if isinstance(grid.coder, SignCoder) and grid.coder.has_zero:
        signs, threshold = made.result, made.hold("threshold", np.float32(grid.coding[0]))
        made.step("Abs", [source], "magnitude")
        made.step("LessOrEqual", [made.result, threshold], "small")
        made.step("Where", [made.result, zero, signs], "levels")
