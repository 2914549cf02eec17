"""Which back ends have recipes? One line each: its name, what its files are, the function that writes them, and the
formats that it knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from typing import Literal

from qanalysis.checkpoints.source import TensorSource
from qanalysis.notation import quote
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Target:
    """A back end: `name` as it is typed, `about` in one line, and the writer, "file.function" of this folder.

    The writer takes the plan and keyword options; it raises ValueError for a plan with a format that the back end does
    not know at all, unless `partial`, and lists what it can not express otherwise. `formats` are those that it knows,
    "*" standing for any letters and "[2348]" for one of these. `reads_source`: the writer takes the float model as
    `source` too, for its values and its graph; `needs` says which of the two it can not do without: "values", or
    "graph", which plans of an ONNX model hold themselves. `aliases` are other words that people call it by.
    """

    name: str
    about: str
    writer: str
    formats: tuple[str, ...] = ()
    reads_source: bool = False
    needs: Literal["", "values", "graph"] = ""
    aliases: tuple[str, ...] = ()

    def knows(self, fmt: str) -> bool:
        """Whether it has the format at all.

        >>> Target("t", "", "", ("int[248]", "gguf:*")).knows("int4")
        True
        """
        return any(fnmatchcase(fmt, one) for one in self.formats)

    def write(self, plan: Plan, *, partial: bool = False, source: TensorSource | None = None) -> Recipe:
        """The recipe of a plan; `source` is the float model that it was made of, where that is at hand."""
        module, function = self.writer.rsplit(".", 1)
        write: Callable[..., Recipe] = getattr(import_module(f"qanalysis.plans.recipes.{module}"), function)
        more = {"source": source} if self.reads_source else {}
        return write(plan, partial=partial, **more)


_FLOATS = ("bfloat16", "float16")
_COMPRESSED = ("int[2345678]", "fp8_e4m3", "mxfp4", "mxfp6_e2m3", "mxfp8_e4m3", "nvfp4*", *_FLOATS)
TARGETS: tuple[Target, ...] = (
    Target(
        "llama.cpp",
        "--tensor-type lines of llama-quantize, as a file and as a command",
        "llama_cpp.write_llama_cpp",
        ("gguf:*", *_FLOATS, "nvfp4*"),
        aliases=("llama-quantize", "gguf", "ggml"),
    ),
    Target(
        "compressed-tensors",
        "quantization_config of config.json with a config group for each scheme",
        "compressed_tensors.write_compressed_tensors",
        _COMPRESSED,
    ),
    Target(
        "llm-compressor",
        "a recipe of llm-compressor with the same groups, and a script",
        "compressed_tensors.write_llm_compressor",
        _COMPRESSED,
    ),
    Target(
        "torchao",
        "FqnToConfig as JSON, and a script that applies it",
        "torchao.write_torchao",
        ("int[2345678]", "fp8_*", "nvfp4*", *_FLOATS),
        aliases=("fqn-to-config",),
    ),
    Target(
        "mlx",
        "a predicate of mlx-lm, and the quantization of config.json by path",
        "mlx.write_mlx",
        ("int[234568]", "mxfp4", "mxfp8_e4m3", "nvfp4*", *_FLOATS),
        aliases=("mlx-lm",),
    ),
    Target(
        "gptqmodel",
        "QuantizeConfig of GPTQModel with `dynamic`, as JSON and as a script",
        "gptqmodel.write_gptqmodel",
        ("int[2345678]", *_FLOATS),
        aliases=("gptq",),
    ),
    Target(
        "auto-round",
        "layer_config of AutoRound, and a script",
        "auto_round.write_auto_round",
        ("int[2345678]", "gguf:q[458]_[01]", "mxfp4", "mxfp8_e4m3", "nvfp4", *_FLOATS),
    ),
    Target(
        "onnxruntime",
        "TensorQuantOverrides of ONNX Runtime's static quantization, and a script that applies them",
        "onnx_runtime.write_overrides",
        ("int4", "int8", "int16", *_FLOATS),
        reads_source=True,
        aliases=("ort", "tensor-quant-overrides"),
    ),
    Target(
        "matmul-nbits",
        "bits and blocks of ONNX Runtime's MatMulNBits by node, and a script that makes them",
        "matmul_nbits.write_nbits",
        ("int[248]", *_FLOATS),
        reads_source=True,
        needs="graph",
        aliases=("ort-nbits",),
    ),
    Target(
        "nncf",
        "calls of NNCF's compress_weights with their ignored scopes, and a script that makes them",
        "nncf_scopes.write_nncf",
        ("int4", "int8", *_FLOATS),
        reads_source=True,
        aliases=("openvino",),
    ),
    Target(
        "aimet",
        "encodings 2.0.0 of AIMET with the scales of the weights, and a script that loads them",
        "aimet_encodings.write_aimet",
        ("int*", *_FLOATS),
        reads_source=True,
        needs="values",
        aliases=("aimet-onnx", "aimet-torch"),
    ),
    Target(
        "modelopt",
        "a PTQ recipe of ModelOpt by layer, the same as hf_quant_config.json, and a recipe for its own search",
        "modelopt.write_modelopt",
        ("int[2345678]", "fp8_e4m3", "mxfp4", "mxfp6_e3m2", "mxfp8_e4m3", "mxint8", "nvfp4", *_FLOATS),
        reads_source=True,
        aliases=("nvidia-modelopt", "tensorrt-model-optimizer"),
    ),
    Target(
        "coremltools",
        "an OptimizationConfig of coremltools by the names of constants, and a script",
        "core_ml.write_core_ml",
        ("int4", "int8", *_FLOATS),
        reads_source=True,
        aliases=("coreml",),
    ),
    Target(
        "model-explorer",
        "node data of Model Explorer: bits and error at the nodes that take the weights",
        "model_explorer.write_node_data",
        ("*",),
        reads_source=True,
        needs="graph",
    ),
)


def find_target(name: str) -> Target:
    """The back end of a name, whatever its case and what stands between its words; ValueError lists those that there
    are.

    >>> [find_target(name).name for name in ("llama_cpp", "AutoRound", "ONNX Runtime", "ort", "MatMulNBits")]
    ['llama.cpp', 'auto-round', 'onnxruntime', 'onnxruntime', 'matmul-nbits']
    """
    asked = _simplify(name)
    for target in TARGETS:
        if asked in map(_simplify, (target.name, *target.aliases)):
            return target
    raise ValueError(f"target {quote(name)}: is none of {', '.join(target.name for target in TARGETS)}")


def _simplify(name: str) -> str:
    return re.sub(r"[\s._-]", "", name).casefold()


def write_recipe(plan: Plan, target: str, *, partial: bool = False, source: TensorSource | None = None) -> Recipe:
    """A plan in the words of a back end, named as in `TARGETS`; `source` is the float model, where it is at hand.

    Raises ValueError for a name that is none, and for a format that the back end does not know, unless `partial`: then
    the tensors that have it are listed as not expressed, and the rest is written.
    """
    return find_target(target).write(plan, partial=partial, source=source)
