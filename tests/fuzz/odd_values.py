"""What do files hold that no writer writes? Names, numbers and JSON at and beyond the limits."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

NUMBERS = (
    0,
    1,
    -1,
    2,
    3,
    7,
    32,
    64,
    127,
    255,
    256,
    65_535,
    1 << 31,
    -(1 << 31),
    1 << 40,
    1 << 60,
    (1 << 63) - 1,
    1 << 64,
)
SIZES = (0, 0, 1, 1, 2, 3, 7, 8, 16, 31, 33, 64, 1000, 1 << 20, 1 << 31, 1 << 40, 1 << 60, (1 << 63) - 1)
TEXTS = (
    "",
    " ",
    ".",
    "..",
    "/etc/passwd",
    "../../x",
    "a/b",
    "w" * 10_000,
    "layer\x1b[2J\u202eweight",
    "w\n\r\tx",
    "\0",
    "\u2028",
    "é\U0001f600",
    "%s%n{0}",
    "__metadata__",
    "weight",
    "lm_head.weight",
    "model.embed_tokens.weight",
    "a.running_mean",
    "optimizer.state.0.exp_avg",
    "h.0.attn.c_attn.weight",
    "mlp.experts.gate_up_proj",
    "conv.0.weight",
    "l.weight_g",
)
OTHERS: tuple[Any, ...] = (
    None,
    True,
    False,
    0.5,
    -0.0,
    1e308,
    1e-320,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    {"": {}},
)


def draw_name(rng: random.Random, names: Sequence[str] = ()) -> str:
    """A name: odd, one of those there are, or one of those with a word more or less."""
    known = rng.choice(names) if names else "l.weight"
    match rng.randrange(5):
        case 0:
            return known
        case 1:
            return known + rng.choice((".weight", "_scale", "s", ".bias", "_0", known))
        case 2:
            return known[: rng.randrange(len(known) + 1)]
        case _:
            return rng.choice(TEXTS)


def draw_size(rng: random.Random) -> int:
    return rng.choice(SIZES)


def draw_json(rng: random.Random) -> Any:
    """A value of any kind."""
    match rng.randrange(5):
        case 0 | 1:
            return rng.choice(NUMBERS)
        case 2:
            return rng.choice(TEXTS)
        case 3:
            return [rng.choice(NUMBERS) for _ in range(rng.randrange(5))]
        case _:
            return rng.choice(OTHERS)


def list_places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) inside a value of JSON."""
    pairs = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [(value, key) for key, _ in pairs] + [place for _, inner in pairs for place in list_places(inner)]


def change_json(rng: random.Random, value: Any) -> Any:
    """A copy with one place changed, taken away, doubled or buried."""
    copy = copy_json(value)
    places = list_places(copy)
    if not places or rng.random() < 0.03:
        return draw_json(rng)
    inside, key = rng.choice(places)
    match rng.randrange(6):
        case 0 | 1 | 2:
            inside[key] = draw_json(rng)
        case 3:
            del inside[key]
        case 4 if isinstance(inside, dict):
            inside[draw_name(rng, [str(key)])] = inside.pop(key)
        case 4:
            inside.append(inside[key])
        case _:
            for _ in range(rng.choice((1, 2, 100))):
                inside[key] = [inside[key]]
    return copy


def copy_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: copy_json(inner) for key, inner in value.items()}
    return [copy_json(inner) for inner in value] if isinstance(value, list) else value


def fill_oddly(rng: random.Random, array: NDArray[Any]) -> NDArray[Any]:
    """The same shape and type with one, some or all elements at the ends of what the type holds."""
    copy = np.array(array)
    if not copy.size:
        return copy
    flat = copy.reshape(-1)
    if rng.random() < 0.3:
        flat.view(np.uint8)[:] = np.frombuffer(rng.randbytes(copy.nbytes), np.uint8)
        return copy
    with np.errstate(all="ignore"):
        value = np.array(draw_number(rng, copy.dtype)).astype(copy.dtype)
    first = rng.randrange(copy.size)
    flat[first : first + rng.choice((1, 2, copy.size))] = value
    return copy if rng.random() < 0.5 else np.full_like(copy, value)


def draw_number(rng: random.Random, dtype: np.dtype) -> Any:
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return rng.choice([0, 1, limits.max, limits.min, limits.max - 1, min(64, limits.max)])
    if dtype.kind == "b":
        return rng.random() < 0.5
    return rng.choice([0.0, -0.0, 1.0, np.nan, np.inf, -np.inf, 1e-45, 1e-38, 3e38, -3.4028235e38, 1e300, 1e-300])


def reshape_oddly(rng: random.Random, array: NDArray[Any]) -> NDArray[Any]:
    """Other bytes, another shape or type, all of it consistent with itself."""
    match rng.randrange(7):
        case 0:
            return array.reshape(-1)
        case 1:
            return np.ascontiguousarray(array.T)
        case 2:
            return array[np.newaxis] if rng.random() < 0.5 else array[..., np.newaxis]
        case 3 if array.ndim:
            axis = rng.randrange(array.ndim)
            return np.ascontiguousarray(np.take(array, range(rng.randrange(array.shape[axis] + 1)), axis=axis))
        case 4 if array.ndim:
            return np.concatenate([array, array], axis=rng.randrange(array.ndim))
        case 5:
            words = [np.uint8, np.int8, np.int16, np.int32, np.int64, np.float16, np.float32, np.float64]
            words += [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e8m0fnu]
            word = np.dtype(rng.choice(words))
            if array.ndim and array.shape[-1] * array.dtype.itemsize % word.itemsize == 0 and array.size:
                return np.ascontiguousarray(array).view(word)
            with np.errstate(all="ignore"):
                return array.astype(word)
        case _:
            return array.reshape(-1)[: rng.randrange(array.size + 1)]
    return array.reshape(-1)
