"""What is the sample `outliers`: synthetic tensors with the heavy tails and outlier channels seen in large language
models.

Each element is scale * gain * z, with z of a known distribution and unit variance, and gain a known pattern over rows
and columns; at most one element is set to a fixed value. So every moment is known: see `TensorRecipe.kurtosis`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SEED = 20240
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class TensorRecipe:
    """How one tensor is made.

    `distribution` is "normal", "laplace" or "student-t:NU" with NU > 4, each scaled to variance 1 before `scale` is
    applied. `column_gains` and `row_gains` map an index of the last or first axis to its factor; `massive` is ((row,
    column), value).
    """

    name: str
    shape: tuple[int, ...]
    distribution: str
    scale: float
    dtype: str = "float32"
    mean: float = 0.0
    column_gains: Mapping[int, float] = field(default_factory=dict)
    row_gains: Mapping[int, float] = field(default_factory=dict)
    massive: tuple[tuple[int, int], float] | None = None

    @property
    def base_kurtosis(self) -> float:
        """E[z^4]: 3 for normal, 6 for Laplace, 3 + 6/(NU - 4) for Student-t (Johnson, Kotz, Balakrishnan, chapters 13,
        24 and 28).
        """
        family, _, freedom = self.distribution.partition(":")
        return {"normal": 3.0, "laplace": 6.0}[family] if family != "student-t" else 3 + 6 / (float(freedom) - 4)

    @property
    def std(self) -> float:
        """Square root of the expected mean of (x - mean)^2 over the elements."""
        second, _ = self._central_moments()
        return math.sqrt(second)

    @property
    def kurtosis(self) -> float:
        """Expected mean of (x - mean)^4 over the square of the expected mean of (x - mean)^2; 3 for a plain normal
        tensor.

        >>> TensorRecipe("w", (4, 2), "normal", 1.0, column_gains={0: 3.0}).kurtosis  # 3 * mean(81, 1) / mean(9, 1)^2
        4.92
        """
        second, fourth = self._central_moments()
        return fourth / second**2

    def gains(self) -> NDArray[np.float64]:
        """Factors of z, of the tensor's shape."""
        gains: NDArray[np.float64] = np.full(self.shape, self.scale)
        for column, factor in self.column_gains.items():
            gains[..., column] *= factor
        for row, factor in self.row_gains.items():
            gains[row] *= factor
        return gains

    def draw(self, rng: np.random.Generator) -> Tensor:
        """The tensor, rounded from float64 to its dtype."""
        x = self.mean + self.gains() * _draw_unit(self.distribution, self.shape, rng=rng)
        if self.massive is not None:
            where, value = self.massive
            x[where] = value
        return torch.from_numpy(x).to(DTYPES[self.dtype])

    def describe(self) -> dict[str, Any]:
        """The card's entry: the recipe and what theory says of the whole tensor, gains and massive element included."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "dtype": self.dtype,
            "distribution": self.distribution,
            "scale": self.scale,
            "mean": self.mean,
            "column_gains": {str(index): factor for index, factor in self.column_gains.items()},
            "row_gains": {str(index): factor for index, factor in self.row_gains.items()},
            "massive": None if self.massive is None else {"index": list(self.massive[0]), "value": self.massive[1]},
            "theoretical_base_excess_kurtosis": self.base_kurtosis - 3,
            "theoretical_std": self.std,
            "theoretical_excess_kurtosis": self.kurtosis - 3,
        }

    def _central_moments(self) -> tuple[float, float]:
        gains = self.gains()
        second, fourth = gains**2, self.base_kurtosis * gains**4
        if self.massive is not None:
            where, value = self.massive
            second[where], fourth[where] = (value - self.mean) ** 2, (value - self.mean) ** 4
        return float(second.mean()), float(fourth.mean())


RECIPES: tuple[TensorRecipe, ...] = (
    TensorRecipe("model.embed_tokens.weight", (256, 256), "normal", 0.02, dtype="float16"),
    TensorRecipe(
        "model.layers.0.input_layernorm.weight", (256,), "normal", 0.05, mean=1.0, column_gains={31: 40.0, 200: 20.0}
    ),
    TensorRecipe("model.layers.0.self_attn.q_proj.weight", (256, 256), "student-t:5", 0.02),
    TensorRecipe("model.layers.0.self_attn.k_proj.weight", (256, 256), "laplace", 0.02),
    TensorRecipe("model.layers.0.self_attn.v_proj.weight", (256, 256), "normal", 0.02, row_gains={17: 1e-6}),
    TensorRecipe(
        "model.layers.0.self_attn.o_proj.weight",
        (256, 256),
        "normal",
        0.02,
        dtype="bfloat16",
        column_gains={3: 12.0, 77: 30.0},
    ),
    TensorRecipe("model.layers.0.mlp.gate_proj.weight", (384, 256), "student-t:10", 0.02),
    TensorRecipe(
        "model.layers.0.mlp.up_proj.weight",
        (384, 256),
        "normal",
        0.02,
        column_gains={5: 8.0, 64: 16.0, 130: 32.0, 251: 50.0},
    ),
    TensorRecipe("model.layers.0.mlp.down_proj.weight", (256, 384), "normal", 0.02, massive=((42, 211), 8.0)),
)


def draw_tensors() -> dict[str, Tensor]:
    """All tensors of the sample; each has a random stream of its own, so one recipe can change without moving the
    others.
    """
    streams = np.random.default_rng(SEED).spawn(len(RECIPES))
    return {recipe.name: recipe.draw(rng) for recipe, rng in zip(RECIPES, streams, strict=True)}


def _draw_unit(distribution: str, shape: tuple[int, ...], *, rng: np.random.Generator) -> NDArray[np.float64]:
    """Independent draws of mean 0 and variance 1; a Laplace variable of scale b has variance 2b^2, a Student-t one
    NU/(NU - 2).
    """
    family, _, freedom = distribution.partition(":")
    if family == "student-t":
        return rng.standard_t(float(freedom), shape) * math.sqrt(1 - 2 / float(freedom))
    return rng.laplace(scale=math.sqrt(0.5), size=shape) if family == "laplace" else rng.standard_normal(shape)
