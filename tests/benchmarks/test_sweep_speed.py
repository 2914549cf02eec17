"""How much faster is a sweep than the same columns taken with torch, one pass per operation? Both in one run, as a ratio."""

import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from qanalysis import default_schemes, open_checkpoint
from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.sweep import sweep

WIDTH, BLOCKS, VOCABULARY = 512, 5, 8192
REQUIRED_RATIO = 30


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory):
    """About 20 million float32 parameters in the shapes of a decoder."""
    rng = np.random.default_rng(0)
    tensors = {"embed.weight": (VOCABULARY, WIDTH)}
    for block in range(BLOCKS):
        tensors |= {f"blocks.{block}.attn.{name}.weight": (WIDTH, WIDTH) for name in ("q", "k", "v", "out")}
        tensors |= {
            f"blocks.{block}.mlp.up.weight": (4 * WIDTH, WIDTH),
            f"blocks.{block}.mlp.down.weight": (WIDTH, 4 * WIDTH),
        }
        tensors |= {f"blocks.{block}.norm.weight": (WIDTH,), f"blocks.{block}.mlp.up.bias": (4 * WIDTH,)}
    path = tmp_path_factory.mktemp("bench") / "transformer.safetensors"
    save_file({name: rng.normal(scale=0.02, size=shape).astype(np.float32) for name, shape in tensors.items()}, path)
    return path


def measure_with_torch(x: torch.Tensor, scheme: Scheme) -> list[torch.Tensor]:
    """The columns of one row, each by its textbook expression, one pass over the tensor per operation, as analysis scripts do it."""
    layout = scheme.grouping.lay_out(tuple(x.shape))
    groups = x.reshape(-1, min(layout.block_columns * layout.block_rows, x.numel()))
    q = scheme.format.largest_code
    step = (groups.abs().amax(dim=1, keepdim=True) / q).clamp_min(1e-30)
    codes = (groups / step).round()
    kept = codes.clamp(-q, q)
    y = kept * step
    e = y - groups
    nonzero = groups != 0
    inside = groups.clamp(-q * step, q * step)
    return [
        torch.isfinite(groups).sum(),
        e.abs().max(),
        e.abs().mean(),
        e.mean(),
        e.square().mean(),
        (e / step).square().mean().sqrt(),
        20 * torch.log10(groups.norm() / e.norm()),
        10 * torch.log10(groups.var() / e.square().mean()),
        torch.where(nonzero, e.abs() / groups.abs(), 0.0).sum() / nonzero.sum(),
        torch.dot(groups.flatten(), y.flatten()) / (groups.norm() * y.norm()),
        ((e - e.mean()) * (groups - groups.mean())).mean() / (e.std() * groups.std()),
        (codes != kept).float().mean(),
        ((y == 0) & nonzero).float().mean(),
        (groups - inside).square().sum(),
        (inside - y).square().sum(),
    ]


def test_a_sweep_of_28_schemes_is_thirty_times_faster_than_torch_eager(transformer, record_property, capsys) -> None:
    schemes = default_schemes()
    with open_checkpoint(transformer) as source:
        values = sum(info.numel for info in source.tensors) * len(schemes)
        sweep(source, schemes[::7])
        ours = min(_seconds(lambda: sweep(source, schemes)) for _ in range(5))
        sample = [torch.from_numpy(source.read(info)) for info in source.tensors]
    taken = sum(x.numel() for x in sample) * len(schemes)
    theirs = min(
        _seconds(lambda: [measure_with_torch(x, scheme) for x in sample for scheme in schemes]) for _ in range(2)
    )
    ratio = (theirs / taken) / (ours / values)
    with capsys.disabled():
        print(
            f"\nsweep {ours / values * 1e9:.2f} ns per value and scheme ({ours:.2f} s), torch eager {theirs / taken * 1e9:.1f} ns, "
            f"ratio {ratio:.1f}; peak resident memory of a process that sweeps the file {_peak_mib(transformer):.0f} MiB"
        )
    assert ratio >= REQUIRED_RATIO


def _peak_mib(path) -> float:
    code = (
        "import sys; from pathlib import Path; from qanalysis import default_schemes, open_checkpoint, sweep\n"
        "with open_checkpoint(sys.argv[1]) as source: sweep(source, default_schemes())\n"
        "print(Path('/proc/self/status').read_text().partition('VmHWM:')[2].split()[0])"
    )
    return (
        int(subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True).stdout)
        / 1024
    )


def _seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
