"""Weights, rows of large models and the size of a figure, for the tests of charts."""

from __future__ import annotations

import math

import numpy as np

from qanalysis.quantizers.scheme import Scheme
from qanalysis.sweeps.row import Row

EVIL = "<b>evil</b>%{x}"
SCHEMES = [f"int{bits} {grouping}" for grouping in ("tensor", "group=8") for bits in (2, 4, 8)]


def weights(shape, seed=0):
    return (np.random.default_rng(seed).standard_t(4, size=shape) * 0.02).astype(np.float32)


def row_of(rows, tensor, scheme):
    return next(row for row in rows if (row.tensor, row.scheme) == (tensor, str(Scheme.parse(scheme))))


def many_rows(layers, *, schemes=28):
    groups = ("tensor", "channel", "group=128", "group=32")
    names = [f"model.layers.{index}.self_attn.q_proj.weight" for index in range(layers)]
    columns = [(f"int{2 + index % 7}", groups[index // 7]) for index in range(schemes)]
    shared = {
        "kind": "weight",
        "shape": "8x8",
        "dtype": "float32",
        "numel": 64,
        "symmetry": "sym",
        "range": "minmax",
        "scale": "float32",
    }
    return [
        Row(
            tensor=name,
            scheme=f"{fmt} {grouping}",
            format=fmt,
            bits=int(fmt[3:]),
            grouping=grouping,
            sqnr_db=math.pi * (place + column),
            **shared,
        )
        for place, name in enumerate(names)
        for column, (fmt, grouping) in enumerate(columns)
    ]


def size_of(figure):
    return len(figure.to_json())
