"""Pools with bytes and schemes of their own, and experts that count with the share that works."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from qanalysis import plan_bits
from qanalysis.plans.experts import read_share
from qanalysis.plans.model_config import ModelConfig
from qanalysis.plans.pools import Pool, read_pools
from qanalysis.results.table import Table
from qanalysis.sweeps.sweep import sweep

SCHEMES = ["int2 channel", "int4 channel", "int8 channel", "gguf:q4_0", "gguf:q8_0"]


@pytest.fixture(scope="module")
def rows() -> Table[Any]:
    draw = np.random.default_rng(0).normal
    arrays = {f"h.{block}.{one}": draw(size=(8, 64)).astype(np.float32) for block in (0, 1) for one in ("up", "down")}
    return sweep(arrays, SCHEMES)


def test_each_pool_keeps_its_bytes_and_its_schemes(rows: Table[Any]) -> None:
    plan = plan_bits(rows, pools=[r"gpu=900:h\.0", "cpu=700:."], pool_schemes=["cpu=^gguf:"])
    used = {one["name"]: one for one in plan.constraints["pools"]}
    assert used["gpu"]["used"] == sum(row.size_bytes for row in plan if row.pool == "gpu") <= 900
    assert used["cpu"]["used"] == sum(row.size_bytes for row in plan if row.pool == "cpu") <= 700
    assert all(row.scheme.startswith("gguf:") == (row.pool == "cpu") for row in plan if row.pool == "cpu")
    assert {row.tensor: row.pool for row in plan} == {
        "h.0.up": "gpu",
        "h.0.down": "gpu",
        "h.1.up": "cpu",
        "h.1.down": "cpu",
    }


def test_each_pool_is_best_by_itself(rows: Table[Any]) -> None:
    both = plan_bits(rows, pools={"gpu": (900, r"h\.0"), "cpu": (700, "h.1")})
    for block, size in ((0, 900), (1, 700)):
        others = 2 * 8 * 64 * 4
        alone = plan_bits(rows, budget_bytes=size + others, exclude=rf"h\.{1 - block}")
        assert {name: both.assignments[name] for name in alone.assignments} == alone.assignments


def test_what_stays_float_counts_in_its_pool(rows: Table[Any]) -> None:
    plan = plan_bits(rows, pools=["a=2700:up", "b=2000:."], exclude="h.0.up")
    assert plan.constraints["pools"][0]["kept_float"] == 2048
    with pytest.raises(ValueError, match=r"--pool a=2100 can not be kept: .* 2,048 those of tensors kept float"):
        plan_bits(rows, pools=["a=2100:up", "b=2000:."], exclude="h.0.up")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "lost": ({"pools": ["gpu=8GiB:up"]}, "'h.0.down' and 1 others lie in no pool"),
    "twice": ({"pools": ["gpu=8GiB:up", "gpu=8GiB:."]}, "pool 'gpu': is given twice"),
    "form": ({"pools": ["gpu:up"]}, "NAME=BYTES:REGEX is expected"),
    "bytes": ({"pools": ["gpu=many:up"]}, "pool 'gpu': bytes 'many': is no number of bytes"),
    "few-bytes": ({"pools": ["gpu=4.5:up"]}, "pool 'gpu': --budget-bytes 4.5: no plan takes so few bytes"),
    "unknown": ({"pools": ["gpu=8GiB:."], "pool_schemes": ["cpu=int"]}, "'cpu': there is no such pool"),
    "scheme-form": ({"pools": ["gpu=8GiB:."], "pool_schemes": ["gpu"]}, "NAME=REGEX is expected"),
    "no-scheme": ({"pools": ["gpu=8GiB:."], "pool_schemes": ["gpu=nf4"]}, "may hold none of the schemes of 'h.0.up'"),
    "full": ({"pools": ["gpu=100:."]}, "--pool gpu=100 can not be kept"),
}


@pytest.mark.parametrize(("options", "told"), WRONG.values(), ids=list(WRONG))
def test_pools_that_can_not_hold_are_one_message(rows: Table[Any], options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        plan_bits(rows, **options)


def test_a_pool_beside_a_budget_need_not_hold_everything(rows: Table[Any]) -> None:
    plan = plan_bits(rows, budget_bpw=9, pools="gpu=400:up")
    assert sum(row.size_bytes for row in plan if row.pool == "gpu") <= 400
    assert {row.pool for row in plan} == {"gpu", ""}
    assert Pool.parse("x=1kB:a:b=c").pattern.text == "a:b=c"
    assert read_pools({"x": ("2GiB", ".")})[0].bytes == 2 << 30


def test_experts_count_with_the_share_that_works() -> None:
    draw = np.random.default_rng(0).normal
    names = ["mlp.experts.0.up_proj", "mlp.experts.1.up_proj", "mlp.shared_expert.up_proj", "attn.o_proj"]
    table = sweep({name: draw(size=(8, 64)).astype(np.float32) for name in names}, ["int4 channel", "int8 channel"])
    plan = plan_bits(table, budget_bpw=5.5, active_experts="1/4")
    bits = {row.tensor: row.bits_per_weight * row.numel for row in plan}
    counted = sum(value * (0.25 if "experts." in name else 1) for name, value in bits.items()) / (2.5 * 512)
    assert counted <= 5.5
    assert plan.constraints["active"]["bits_per_active_weight"] == pytest.approx(counted, rel=1e-12)
    assert plan.bits_per_weight == pytest.approx(sum(bits.values()) / 2048, rel=1e-12)
    # Both experts at 8 bits cost 0.5 · 4 bits of 2.5 weights: what an expert costs is little.
    assert [row.scheme for row in plan][:2] == ["int8 channel", "int8 channel"]


def test_the_share_is_read_from_a_config() -> None:
    assert read_share(
        "config", ModelConfig({"text_config": {"num_experts_per_tok": 8, "num_experts": 128}})
    ) == Fraction(1, 16)
    for text, told in (
        ("9/8", "between one and all"),
        ("0/8", "between one"),
        ("half", "must be K/N"),
        ("config", "--config"),
    ):
        with pytest.raises(ValueError, match=told):
            read_share(text)
