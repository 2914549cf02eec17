"""Whatever a plan assigns, a recipe says it with its bits or lists it: every target, every kind of scheme and name."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from qanalysis.checkpoints.catalogue import open_checkpoint
from qanalysis.checkpoints.gguf_names import name_for_gguf
from qanalysis.plans.plan import Plan
from qanalysis.plans.recipes.catalogue import TARGETS, Target, find_target
from qanalysis.plans.recipes.recipe import Recipe
from qanalysis.quantizers.formats import FORMATS
from qanalysis.quantizers.scheme import Scheme
from tests.plans.recipes.onnx_models import save_model
from tests.plans.recipes.planning import make_header, make_plan

Shapes = Mapping[str, tuple[int, ...]]
LAYER = "model.layers.1."
#: Linear layers of one name in another, experts apart and stacked, fused, other kinds, and names that are hostile.
MODULES: Shapes = {
    "model.embed_tokens.weight": (96, 64),
    "lm_head.weight": (96, 64),
    f"{LAYER}self_attn.q_proj.weight": (64, 64),
    f"{LAYER}self_attn.k_proj.weight": (32, 64),
    f"{LAYER}self_attn.v_proj.weight": (32, 64),
    "model.layers.11.self_attn.q_proj.weight": (64, 64),
    f"{LAYER}mlp.gate_proj.weight": (80, 64),
    f"{LAYER}mlp.down_proj.weight": (64, 80),
    f"{LAYER}mlp.experts.0.gate_proj.weight": (48, 64),
    f"{LAYER}mlp.experts.1.gate_proj.weight": (48, 64),
    "model.layers.2.mlp.experts.gate_up_proj": (4, 96, 64),
    "model.layers.2.mlp.experts.down_proj": (4, 64, 48),
    f"{LAYER}self_attn.qkv_proj.weight": (128, 64),
    f"{LAYER}self_attn.q_proj.bias": (64,),
    f"{LAYER}input_layernorm.weight": (64,),
    "conv1.weight": (16, 8, 3, 3),
    "Encoder.Q_Proj.weight": (64, 64),
    "encoder.q_proj.weight": (64, 64),
    "attn.in_proj_weight": (96, 64),
    "a+b[0].(x)|y$^{2}\\d.weight": (64, 64),
    "white space'quote\"=#%:.weight": (64, 64),
    f"{'very.long.' * 60}weight": (64, 64),
    "table": (64, 64),
}
GROUPINGS = ("tensor", "channel", "channel=1", "group=32", "group=48", "group=128", "block=16x16")


def list_schemes(target: Target) -> list[str]:
    """Every format that the target knows, integers in all groupings, with and without zero points."""
    found = [str(Scheme(fmt)) for name, fmt in FORMATS.items() if target.knows(name)]
    for name in [name for name, fmt in FORMATS.items() if fmt.is_integer and target.knows(name)]:
        found += [f"{name} {symmetry} {grouping}" for symmetry in ("sym", "asym") for grouping in GROUPINGS]
    return list(dict.fromkeys(str(Scheme.parse(text)) for text in found))


def plan_all(shapes: Shapes, schemes: list[str], start: int) -> Plan:
    """Every tensor with a scheme, the next one with the next."""
    chosen = {name: schemes[(start + 7 * place) % len(schemes)] for place, name in enumerate(shapes)}
    roles = {"model.embed_tokens.weight": "embedding", f"{LAYER}self_attn.q_proj.bias": "bias", "table": "embedding"}
    header = [
        make_header(name, "x".join(map(str, shape)), role=roles.get(name, "weight"), dtype="bfloat16")
        for name, shape in shapes.items()
    ]
    planned = {name: (shape, chosen[name]) for name, shape in shapes.items()}
    return make_plan(planned, dtype="bfloat16", tensors=header)


def find_module(tensor: str) -> str:
    return tensor.removesuffix(".weight")


def read_llama_cpp(recipe: Recipe, tensor: str) -> int | None:
    known = name_for_gguf(list(MODULES))
    name = known[tensor].name if tensor in known else tensor
    for line in recipe.files[0].text.splitlines():
        pattern, _, kind = line.rpartition("=")
        if re.search(pattern.lower(), name):
            fmt = FORMATS.get(f"gguf:{kind}") or FORMATS.get({"f16": "float16", "bf16": "bfloat16"}.get(kind, kind))
            return fmt.bits if fmt else None
    return None


def read_groups(recipe: Recipe, tensor: str) -> int | None:
    document = json.loads(recipe.files[0].text)
    groups = document.get("config_groups")
    if groups is None:
        groups = document["quant_stage"]["quant_modifiers"]["QuantizationModifier"]["config_groups"]
    module = find_module(tensor)
    for group in groups.values():
        for one in group["targets"]:
            if re.match(one[3:], module) if one.startswith("re:") else one == module:
                return int(group["weights"]["num_bits"])
    return None


def read_torchao(recipe: Recipe, tensor: str) -> int | None:
    table = json.loads(recipe.files[0].text)["_data"]["fqn_to_config"]
    for key in (tensor, find_module(tensor)):
        for name, config in table.items():
            if (re.fullmatch(name[3:], key) if name.startswith("re:") else name == key) and config is not None:
                text = json.dumps(config)
                words = {"MX": 8, "NVFP4": 4, "float8": 8, "Float8": 8, "Int4Weight": 4, "Int8Weight": 8}
                width = re.search(r'"_data": "u?int([0-9]+)"', text)
                return int(width[1]) if width else next(bits for word, bits in words.items() if word in text)
    return None


def read_mlx(recipe: Recipe, tensor: str) -> int | None:
    table = json.loads(recipe.files[1].text)["quantization"]
    module = find_module(tensor)
    stacked = re.sub(r"\.experts\.([0-9]+\.)?(?=\w+$)", ".switch_mlp.", module)
    names = (module, stacked, stacked.replace("gate_up_proj", "up_proj"))
    return next((int(table[name]["bits"]) for name in names if isinstance(table.get(name), dict)), None)


def read_gptqmodel(recipe: Recipe, tensor: str) -> int | None:
    for key, settings in json.loads(recipe.files[0].text)["dynamic"].items():
        if re.match(key[2:], find_module(tensor)):
            return int(settings["bits"]) if key.startswith("+:") else None
    return None


def read_auto_round(recipe: Recipe, tensor: str) -> int | None:
    found = json.loads(recipe.files[0].text).get(find_module(tensor), {})
    widths = {"MXFP4": 4, "NVFP4": 4, "MXFP8": 8, "BF16": 16, None: None}
    if str(found.get("scheme")).startswith("gguf"):
        return int(re.sub(r"\D", "", found["scheme"])[0])
    return int(found["bits"]) if "bits" in found else widths[found.get("scheme")]


def read_modelopt(recipe: Recipe, tensor: str) -> int | None:
    bits = None
    for line in recipe.files[0].text.splitlines():
        name = re.search(r'quantizer_name: ("(?:[^"\\]|\\.)*")', line)
        pattern = json.loads(name[1]) if name else ""
        if pattern and fnmatch.fnmatchcase(f"{find_module(tensor)}.weight_quantizer", pattern):
            width = re.search(r"num_bits: (?:([0-9]+)|\(([0-9]), ([0-9])\)|\"?e([0-9])m([0-9])\"?)", line)
            parts = [int(one) for one in width.groups() if one] if width else []
            bits = (parts[0] if len(parts) == 1 else 1 + sum(parts)) if parts else None
    return bits


def read_core_ml(recipe: Recipe, tensor: str) -> int | None:
    name = re.sub(r"[^a-zA-Z0-9_]", "_", tensor)
    found = json.loads(recipe.files[0].text)["op_name_configs"].get(name)
    return int(re.sub(r"\D", "", found["dtype"])) if found else None


def read_nncf(recipe: Recipe, tensor: str) -> int | None:
    module = find_module(tensor)
    nodes = (f"{module.replace('.', '/')}/linear/0", tensor if module == tensor else f"{module}.weight")
    for call in json.loads(recipe.files[0].text)["calls"]:
        patterns = call.get("ignored_scope", {}).get("patterns", [])
        if any(not any(re.match(one, node) for one in patterns) for node in nodes):
            return int(re.sub(r"\D", "", call["mode"]))
    return None


def read_overrides(recipe: Recipe, tensor: str) -> int | None:
    found = json.loads(recipe.files[0].text)["TensorQuantOverrides"].get(tensor)
    return int(re.sub(r"\D", "", found[0]["quant_type"])) if found else None


READERS: dict[str, Callable[[Recipe, str], int | None]] = {
    "llama.cpp": read_llama_cpp,
    "compressed-tensors": read_groups,
    "llm-compressor": read_groups,
    "torchao": read_torchao,
    "mlx": read_mlx,
    "gptqmodel": read_gptqmodel,
    "auto-round": read_auto_round,
    "onnxruntime": read_overrides,
    "nncf": read_nncf,
    "modelopt": read_modelopt,
    "coremltools": read_core_ml,
}


def list_dropped(plan: Plan, recipe: Recipe, read: Callable[[str], int | None]) -> list[str]:
    """The tensors that are neither listed nor said with the bits of their scheme, or stay the floats that they are."""
    listed = {one.tensor for one in recipe.unexpressed}
    dropped = []
    for row in plan:
        bits, found = Scheme.parse(row.scheme).format.bits, read(row.tensor)
        kept = row.scheme == row.dtype and found in (None, bits)
        if row.tensor not in listed and found != bits and not kept:
            dropped.append(f"{row.tensor[:60]}: {row.scheme}, the recipe has {found}")
    return dropped


@pytest.mark.parametrize("name", READERS)
def test_each_tensor_is_said_with_its_bits_or_listed(name: str) -> None:
    target = find_target(name)
    schemes = list_schemes(target)
    for start in range(0, len(schemes), 9):
        plan = plan_all(MODULES, schemes, start)
        recipe = target.write(plan)
        assert list_dropped(plan, recipe, lambda tensor, made=recipe: READERS[name](made, tensor)) == []
        assert all(one.reason for one in recipe.unexpressed)


def read_nodes(recipe: Recipe, tensor: str, consumers: Mapping[str, list[str]]) -> int | None:
    """Bits at the one node that takes a tensor, as NNCF and MatMulNBits name them."""
    document = json.loads(recipe.files[0].text)
    (node,) = consumers[tensor]
    for run in document.get("runs", ()):
        if node in run["nodes"]:
            return int(run["bits"])
    for call in document.get("calls", ()):
        if node not in call["ignored_scope"]["names"]:
            return int(re.sub(r"\D", "", call["mode"]))
    return None


def read_encodings(recipe: Recipe, tensor: str) -> int | None:
    found = {one["name"]: one for one in json.loads(recipe.files[0].text)["encodings"]}.get(tensor)
    return int(re.sub(r"\D", "", found["output_dtype"])) if found else None


@pytest.mark.parametrize("name", ["onnxruntime", "matmul-nbits", "nncf", "aimet"])
def test_each_tensor_of_a_graph_is_said_with_its_bits_or_listed(tmp_path: Path, name: str) -> None:
    target = find_target(name)
    schemes = list_schemes(target)
    with open_checkpoint(save_model(tmp_path)) as source:
        infos = {info.name: info for info in source.tensors if len(info.shape) > 1}
        consumers = {one: [use.node or use.name for use in info.consumers] for one, info in infos.items()}
        readers: dict[str, Callable[[Recipe, str], int | None]] = {
            "onnxruntime": read_overrides,
            "aimet": read_encodings,
        }
        read = readers.get(name) or (lambda made, tensor: read_nodes(made, tensor, consumers))
        for start in range(0, len(schemes), 5):
            plan = plan_all({one: info.shape for one, info in infos.items()}, schemes, start)
            recipe = target.write(plan, source=source)
            assert list_dropped(plan, recipe, lambda tensor, made=recipe: read(made, tensor)) == []


def test_every_target_is_held_to_it() -> None:
    graph_alone = {"matmul-nbits", "aimet", "model-explorer"}
    assert set(READERS) | graph_alone == {target.name for target in TARGETS}
