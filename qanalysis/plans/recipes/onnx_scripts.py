"""Which scripts apply a recipe to an ONNX model? They stand beside the recipe's JSON and need the back end alone."""

from __future__ import annotations

#: What both do before the model is quantized: nodes without a name get that of their first output, as recipes call
#: them, and constants that are nodes become initializers, which back ends look for.
_PREPARE = """

def open_model(path):
    model = onnx.load(path)
    for node in list(model.graph.node):
        node.name = node.name or node.output[0]
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            node.attribute[0].t.name = node.output[0]
            model.graph.initializer.append(node.attribute[0].t)
            model.graph.node.remove(node)
    return model


def check_names(names, known, what):
    missing = sorted(set(names) - set(known))
    if missing:
        raise SystemExit(f"the model has no {what} {', '.join(missing[:5])}: it is not the one of the plan")

"""

QUANTIZE_STATIC = (
    '''"""Quantize an ONNX model as planned: python quantize.py MODEL.onnx OUTPUT.onnx SAMPLES.npz"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

'''
    + _PREPARE
    + '''
class Samples(CalibrationDataReader):
    """All samples as one batch, by the names of the model's inputs."""

    def __init__(self, arrays):
        self.left = [dict(arrays)]

    def get_next(self):
        return self.left.pop() if self.left else None


def quantize(model_path, output_path, samples, recipe_path=Path(__file__).with_name("tensor_quant_overrides.json")):
    recipe = json.loads(Path(recipe_path).read_text(encoding="utf-8"))
    model = open_model(model_path)
    shapes = {one.name: list(one.dims) for one in model.graph.initializer}
    overrides = recipe["TensorQuantOverrides"]
    check_names(overrides, shapes, "initializer")
    check_names(recipe["nodes_to_quantize"], [node.name for node in model.graph.node], "node")
    for name, entry in overrides.items():
        axis = entry[0].get("axis")
        if axis is not None and not (axis < len(shapes[name]) and len(entry) in (1, shapes[name][axis])):
            raise SystemExit(f"override of {name}: axis {axis} does not fit a tensor of shape {shapes[name]}")
        for one in entry:
            one["quant_type"] = QuantType.from_string(one["quant_type"])
            for key in {"scale", "zero_point"} & set(one):
                one[key] = np.array(one[key], np.float32 if key == "scale" else np.int64)
    quantize_static(
        model,
        output_path,
        Samples(samples),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        nodes_to_quantize=recipe["nodes_to_quantize"] or None,
        nodes_to_exclude=recipe["nodes_to_exclude"],
        extra_options={
            "TensorQuantOverrides": overrides,
            "QuantizeBias": False,
            "QDQDisableWeightAdjustForInt32Bias": True,
        },
    )


if __name__ == "__main__":
    quantize(sys.argv[1], sys.argv[2], np.load(sys.argv[3]))
'''
)
