"""What do packed weights cost? Listing many of them, and sweeping them beside the same number of weights in bfloat16."""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from qanalysis import default_schemes, open_checkpoint
from qanalysis.checkpoints.evidence import gather_evidence
from qanalysis.checkpoints.interpretation import interpret
from qanalysis.checkpoints.mapped_file import LocalFolder
from qanalysis.checkpoints.safetensors_file import read_safetensors
from qanalysis.sweeps.sweep import sweep

from ..checkpoints.packed.written import write_file

RNG = np.random.default_rng(0)
SIZE, LAYERS, GROUP = 4096, 6, 128  # 1e8 weights
SHOW_LIMIT_S = 1.0
LEAST_SHARE_OF_THE_RATE = 1 / 3
MOST_OF_SHOW = 0.03


def draw_words(*shape: int) -> np.ndarray:
    return RNG.integers(0, 1 << 32, shape, dtype=np.uint32).view(np.int32)


def draw_scales(*shape: int) -> np.ndarray:
    return (np.abs(RNG.standard_normal(shape)) * 0.01 + 0.002).astype(np.float16)


def make_gptq(rows: int, columns: int, group: int) -> dict[str, np.ndarray]:
    return {
        "qweight": draw_words(columns // 8, rows),
        "qzeros": np.full((columns // group, rows // 8), 0x77777777, np.int32),
        "scales": draw_scales(columns // group, rows),
        "g_idx": (np.arange(columns) // group).astype(np.int32),
    }


def make_awq(rows: int, columns: int, group: int) -> dict[str, np.ndarray]:
    return {
        "qweight": draw_words(columns, rows // 8),
        "qzeros": draw_words(columns // group, rows // 8),
        "scales": draw_scales(columns // group, rows),
    }


def make_compressed(rows: int, columns: int, group: int) -> dict[str, np.ndarray]:
    return {
        "weight_packed": draw_words(rows, columns // 8),
        "weight_scale": draw_scales(rows, columns // group).astype(ml_dtypes.bfloat16),
        "weight_shape": np.array([rows, columns]),
    }


def make_nvfp4(rows: int, columns: int, group: int) -> dict[str, np.ndarray]:
    return {
        "weight_packed": draw_words(rows, columns // 8).view(np.uint8),
        "weight_scale": draw_scales(rows, columns // 16).astype(ml_dtypes.float8_e4m3fn),
        "weight_global_scale": np.array([8], np.float32),
    }


def make_bfloat16(rows: int, columns: int, group: int) -> dict[str, np.ndarray]:
    return {"weight": (RNG.standard_normal((rows, columns), np.float32) * 0.02).astype(ml_dtypes.bfloat16)}


LAYOUTS = {"gptq": make_gptq, "awq": make_awq, "compressed-tensors": make_compressed, "nvfp4": make_nvfp4}


def write_layers(path: Path, make: Callable[..., dict[str, Any]], layers: int, size: int, group: int) -> Path:
    tensors = {
        f"model.layers.{layer}.mlp.up_proj.{name}": part
        for layer in range(layers)
        for name, part in make(size, size, group).items()
    }
    return write_file(path, tensors)


class Cost(NamedTuple):
    """Seconds on the wall and of the processor."""

    wall: float
    processor: float


def run(*words: str) -> Cost:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "qanalysis.cli", *words], check=True, capture_output=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Cost(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def test_ten_thousand_packed_tensors_are_listed_within_a_second(tmp_path: Path, capsys) -> None:
    path = write_layers(tmp_path / "many.safetensors", make_gptq, 2500, 64, 32)
    run("show", str(path))
    costs = [run("show", str(path)) for _ in range(5)]
    wall, processor = min(cost.wall for cost in costs), min(cost.processor for cost in costs)
    with capsys.disabled():
        print(
            f"\nqanalysis show of 10,000 tensors, 2,500 GPTQ layers: {wall:.2f} s, {processor:.2f} s of the processor"
        )
    assert processor < SHOW_LIMIT_S


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packed")
    makers = {"bfloat16": make_bfloat16, **LAYOUTS}
    return {
        name: write_layers(folder / f"{name}.safetensors", make, LAYERS, SIZE, GROUP) for name, make in makers.items()
    }


def take(path: Path, schemes: list[Any]) -> Cost:
    with open_checkpoint(path) as source:
        assert sum(info.numel for info in source.tensors) == LAYERS * SIZE * SIZE
        began, used = time.perf_counter(), time.process_time()
        sweep(source, schemes)
        return Cost(time.perf_counter() - began, time.process_time() - used)


@pytest.mark.parametrize("schemes", [["int8 channel"], default_schemes()], ids=["one scheme", "28 schemes"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_packed_weights_are_swept_at_no_less_than_a_third_of_the_rate(files, layout: str, schemes: Any, capsys) -> None:
    take(files[layout], schemes[:1])
    taken = [
        (take(files["bfloat16"], schemes), take(files[layout], schemes)) for _ in range(3 if len(schemes) == 1 else 2)
    ]
    plain, packed = (Cost(*map(min, zip(*costs, strict=True))) for costs in zip(*taken, strict=True))
    ratio, values = plain.processor / packed.processor, LAYERS * SIZE * SIZE
    with capsys.disabled():
        print(
            f"\n{layout}, {values:.1e} weights, {len(schemes)} schemes: {packed.processor / values * 1e9:.2f} ns a value "
            f"({packed.wall:.2f} s), bfloat16 {plain.processor / values * 1e9:.2f} ns ({plain.wall:.2f} s): "
            f"{ratio:.2f} of its rate"
        )
    assert ratio >= LEAST_SHARE_OF_THE_RATE


def test_roles_views_and_layouts_are_nothing_to_notice_in_a_plain_file(tmp_path: Path, capsys) -> None:
    names = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj")
    names += ("mlp.up_proj", "mlp.down_proj", "input_layernorm", "post_attention_layernorm")
    tensors = {
        f"model.layers.{layer}.{name}.weight": np.ones((64,) if "norm" in name else (64, 64), np.float16)
        for layer in range(32)
        for name in names
    }
    path = tmp_path / "plain.safetensors"
    save_file(tensors, path)
    folder = LocalFolder(tmp_path)
    content = read_safetensors(folder.open(path.name), folder)
    evidence = gather_evidence(folder, content.metadata)
    interpret(content.entries, evidence)
    seconds = min(_take_processor(lambda: interpret(content.entries, evidence)) for _ in range(5))
    whole = min(run("show", str(path)).processor for _ in range(3))
    for file in content.files:
        file.close()
    with capsys.disabled():
        print(
            f"\nroles, views and layouts of {len(tensors)} plain tensors: {seconds * 1e3:.1f} ms of {whole:.2f} s that show takes"
        )
    assert seconds < MOST_OF_SHOW * whole


def _take_processor(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began
