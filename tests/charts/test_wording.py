"""Names in charts tell layers apart, and numbers read with their prefix."""

from __future__ import annotations

import math

import pytest

from qanalysis.charts.wording import label_layers, name_power
from qanalysis.notation import measure, shorten, si


@pytest.mark.parametrize("name", ["a", "x" * 32, "x" * 33, "model.layers.31.block_sparse_moe.experts.7.w2.weight"])
def test_a_shortened_name_keeps_both_ends(name):
    short = shorten(name, 32)
    assert len(short) == min(len(name), 32)
    assert short == name or (name.startswith(short.partition("…")[0]) and name.endswith(short.partition("…")[2]))


def test_numbers_read_with_their_prefix():
    assert [si(value, "B") for value in (0, 1, 999.9, -1500, 2.5e-7, 1e15, 1e-20)] == [
        "0 B",
        "1 B",
        "1 kB",
        "−1.5 kB",
        "250 nB",
        "1 PB",
        "1·10⁻²⁰ B",
    ]
    assert measure(-3.456, "dB") == "−3.46 dB"
    assert measure(math.nan, "dB") == "n/a"
    assert si(-math.inf) == "−∞"


def test_a_prefix_stands_before_a_unit_only():
    assert [name_power(value) for value in (1e-7, 1e-3, 10.0, 1e6)] == ["10⁻⁷", "0.001", "10", "10⁶"]
    assert name_power(1e-6, "V") == "1 µV"


@pytest.mark.parametrize(
    "names",
    [
        [
            f"model.decoder.layers.{i}.a_rather_long_block_name.self_attention.query_projection.weight"
            for i in range(1000)
        ],
        [f"model.layers.{i}.self_attn.{part}_proj.weight" for i in range(40) for part in ("q", "k", "v", "o")]
        + ["lm_head.weight"],
        [f"{'x' * 40}{i}{'y' * 40}" for i in range(5)],
        ["a", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t", "a.z"],
    ],
    ids=["all alike", "decoder", "no dots", "one within another"],
)
def test_labels_of_long_names_tell_the_layers_apart(names):
    labels = label_layers(names)
    assert list(labels) == names
    assert len(set(labels.values())) == len(names)
    assert "" not in labels.values()


def test_short_names_stay_whole():
    assert label_layers(["conv1.weight", "fc.weight"]) == {"conv1.weight": "conv1.weight", "fc.weight": "fc.weight"}
    assert label_layers(["an.only.name.that.is.longer.than.the.limit"]) == {
        "an.only.name.that.is.longer.than.the.limit": shorten("an.only.name.that.is.longer.than.the.limit", 32)
    }
    assert label_layers([]) == {}
