"""Which scripts apply a recipe to a model? They stand beside the recipe's JSON and need the back end alone."""

from __future__ import annotations

#: What both do before the model is quantized: nodes without a name get that of their first output, as recipes call
#: them, and constants that are nodes become initializers, which back ends look for.
_PREPARE = """

def list_graphs(graph):
    inner = [body for node in graph.node for one in node.attribute for body in (one.g, *one.graphs) if body.node]
    return [graph, *(each for body in inner for each in list_graphs(body))]


def open_model(path):
    model = onnx.load(path)
    for graph in list_graphs(model.graph):
        for node in list(graph.node):
            node.name = node.name or next(filter(None, node.output), "")
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                node.attribute[0].t.name = node.output[0]
                graph.initializer.append(node.attribute[0].t)
                graph.node.remove(node)
    return model


def list_nodes(model):
    return [node for graph in list_graphs(model.graph) for node in graph.node]


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
    check_names(recipe["nodes_to_quantize"], [node.name for node in list_nodes(model)], "node")
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

QUANTIZE_NBITS = (
    '''"""Give MatMul of an ONNX model the bits that are planned: python quantize.py MODEL.onnx OUTPUT.onnx"""

import json
import sys
from pathlib import Path

import onnx
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

'''
    + _PREPARE
    + """
def quantize(model_path, output_path, recipe_path=Path(__file__).with_name("matmul_nbits.json")):
    recipe = json.loads(Path(recipe_path).read_text(encoding="utf-8"))
    model = open_model(model_path)
    names = [node.name for node in list_nodes(model)]
    for run in recipe["runs"]:
        check_names(run["nodes"], names, "node")
    for run in recipe["runs"]:
        config = DefaultWeightOnlyQuantConfig(
            block_size=run["block_size"],
            is_symmetric=run["is_symmetric"],
            bits=run["bits"],
            op_types_to_quantize=tuple(run["op_types_to_quantize"]),
        )
        others = [node.name for node in list_nodes(model) if node.name not in run["nodes"]]
        quantizer = MatMulNBitsQuantizer(model, nodes_to_exclude=others, algo_config=config)
        quantizer.process()
        model = quantizer.model.model
    onnx.save(model, output_path)


if __name__ == "__main__":
    quantize(sys.argv[1], sys.argv[2])
"""
)

COMPRESS_WITH_NNCF = (
    '''"""Compress weights as planned: python compress.py MODEL.onnx OUTPUT.onnx, or `compress` for a torch model."""

import json
import sys
from pathlib import Path

import nncf
import onnx

'''
    + _PREPARE
    + '''
def compress(model, recipe_path=Path(__file__).with_name("nncf.json"), dataset=None):
    """A torch model needs `dataset`, nncf.Dataset([sample]), to be traced."""
    for call in json.loads(Path(recipe_path).read_text(encoding="utf-8"))["calls"]:
        keys = {key: call[key] for key in ("group_size", "ratio", "all_layers") if key in call}
        if "backup_mode" in call:
            keys["backup_mode"] = nncf.BackupMode[call["backup_mode"]]
        model = nncf.compress_weights(
            model,
            mode=nncf.CompressWeightsMode[call["mode"]],
            ignored_scope=nncf.IgnoredScope(**call["ignored_scope"]),
            dataset=dataset,
            **keys,
        )
    return model


if __name__ == "__main__":
    onnx.save(compress(open_model(sys.argv[1])), sys.argv[2])
'''
)

LOAD_WITH_AIMET = (
    '''"""Load planned encodings into AIMET's simulation of a model: python load.py MODEL.onnx OUTPUT_FOLDER"""

import sys
from pathlib import Path

import onnx
from aimet_onnx.quantsim import QuantizationSimModel, load_encodings_to_sim

'''
    + _PREPARE
    + """
def load(model, encodings_path=Path(__file__).with_name("encodings.json")):
    simulation = QuantizationSimModel(model)
    load_encodings_to_sim(simulation, str(encodings_path), strict=False)
    return simulation


if __name__ == "__main__":
    Path(sys.argv[2]).mkdir(exist_ok=True)
    load(open_model(sys.argv[1])).export(sys.argv[2], "model")
"""
)

QUANTIZE_CORE_ML = '''"""Quantize a Core ML model as planned: python quantize.py MODEL.mlpackage OUTPUT.mlpackage"""

import json
import sys
from pathlib import Path

import coremltools as ct
from coremltools.optimize.coreml import OptimizationConfig, get_weights_metadata, linear_quantize_weights


def quantize(model, recipe_path=Path(__file__).with_name("optimization_config.json")):
    content = json.loads(Path(recipe_path).read_text(encoding="utf-8"))
    names = set(get_weights_metadata(model, weight_threshold=0))
    planned = {name for name, one in content["op_name_configs"].items() if one is not None}
    missing = [name for name in planned if {name.removesuffix("_to_fp16"), name + "_to_fp16", name}.isdisjoint(names)]
    if missing:
        raise SystemExit(f"the model has no constant {', '.join(sorted(missing)[:5])}: it is not the one of the plan")
    return linear_quantize_weights(model, OptimizationConfig.from_dict(content))


if __name__ == "__main__":
    quantize(ct.models.MLModel(sys.argv[1], skip_model_load=True)).save(sys.argv[2])
'''
