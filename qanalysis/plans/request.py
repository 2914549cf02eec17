"""What was asked of a plan? Budget, pins, exclusions, ties, pools and rules, read once and told in its document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from qanalysis.notation import quote
from qanalysis.plans.budgets import Budget, choose_budget
from qanalysis.plans.experts import read_share
from qanalysis.plans.key_value_cache import DEFAULT_DTYPE, KeyValueCache, measure_cache
from qanalysis.plans.model_config import ModelConfig
from qanalysis.plans.pins import Pin, read_pins
from qanalysis.plans.pools import Pool, read_pools
from qanalysis.plans.stability import RESAMPLES
from qanalysis.results.document import without_infinity

_NUMBERS = ("budget_bpw", "budget_bytes", "fit_gib", "min_sqnr_db", "max_loss")
_PLAIN = ("objective", "most_formats", "min_layer_sqnr_db", "context", "kv_dtype", "resamples", "seed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a plan keeps; `asked` are the options as they were given, those left out left aside.

    `budget` is None where pools have theirs. `monotone` is the expression of the tensors whose bits do not fall with
    depth, empty for none. `active` is the share of experts that work on a token, None where all weights count alike.
    `scores` is a file of another tool, `resamples` how many plans are made from scores that are drawn anew.
    """

    asked: Mapping[str, Any]
    budget: Budget | None
    pins: tuple[Pin, ...] = ()
    exclude: tuple[str, ...] = ()
    ties: tuple[str, ...] = ()
    pools: tuple[Pool, ...] = ()
    most_formats: int | None = None
    monotone: str = ""
    min_layer_sqnr_db: float | None = None
    active: Fraction | None = None
    cache: KeyValueCache | None = None
    scores: Path | None = None
    resamples: int = RESAMPLES
    seed: int = 0

    @classmethod
    def read(cls, **asked: Any) -> Self:
        """The keyword options of `plan_bits`. Raises ValueError for the first that is not as it must be."""
        given = {name: value for name, value in asked.items() if _is_given(value)}
        pools = read_pools(given.get("pools", ()), given.get("pool_schemes", ()))
        budget = choose_budget(**{name: given.get(name) for name in _NUMBERS}, pools=bool(pools))
        config = _read_config(given.get("config"))
        return cls(
            asked=given,
            budget=budget,
            pins=read_pins(given.get("pin", ())),
            exclude=_list_texts(given.get("exclude"), "exclude"),
            ties=_list_texts(given.get("tie"), "tie"),
            pools=pools,
            most_formats=_read_count(given.get("most_formats"), "most formats"),
            monotone=_read_monotone(given.get("monotone")),
            min_layer_sqnr_db=_read_floor(given.get("min_layer_sqnr_db")),
            active=None if "active_experts" not in given else read_share(given["active_experts"], config),
            cache=_read_cache(budget, config, given),
            scores=None if "scores" not in given else Path(given["scores"]),
            resamples=_read_count(given.get("resamples"), "resamples") or RESAMPLES,
            seed=_read_seed(given.get("seed", 0)),
        )

    def to_dict(self) -> dict[str, Any]:
        """What was asked, in plain values, as settings hold it."""
        told: dict[str, Any] = {name: self.asked[name] for name in (*_NUMBERS, *_PLAIN) if name in self.asked}
        if "config" in self.asked:
            config = self.asked["config"]
            told["config"] = "config.json" if isinstance(config, Mapping) else Path(config).name
        told |= {} if self.scores is None else {"scores": self.scores.name}
        lists = {
            "pin": [str(pin) for pin in self.pins],
            "exclude": list(self.exclude),
            "tie": list(self.ties),
            "pool": [f"{pool.name}={pool.bytes}:{pool.pattern.text}" for pool in self.pools],
            "pool_schemes": [f"{pool.name}={one.text}" for pool in self.pools for one in pool.schemes],
        }
        told |= {name: texts for name, texts in lists.items() if texts}
        told |= {"monotone": self.monotone} if self.monotone else {}
        told |= {} if self.active is None else {"active_experts": str(self.active)}
        plain: dict[str, Any] = without_infinity(told)
        return plain


def _is_given(value: Any) -> bool:
    """Whether an option says anything: no list is as good as none, zero is not."""
    return value is not None and value is not False and (isinstance(value, int | float) or bool(value) or value == "")


def _list_texts(texts: str | Iterable[str] | None, what: str) -> tuple[str, ...]:
    listed = () if texts is None else (texts,) if isinstance(texts, str) else tuple(texts)
    if "" in listed:
        raise ValueError(f"{what} '': the expression is empty; write '.' for every tensor")
    return listed


def _read_count(count: Any, what: str) -> int | None:
    if count is None or (type(count) is int and count >= 1):
        return count
    raise ValueError(f"{what} {quote(count)}: must be a whole number, 1 or more")


def _read_seed(seed: Any) -> int:
    if type(seed) is int and 0 <= seed < 1 << 63:
        return seed
    raise ValueError(f"seed {quote(seed)}: must be a whole number, 0 or more")


def _read_monotone(monotone: Any) -> str:
    if monotone is None or isinstance(monotone, str):
        return monotone or ""
    return "." if monotone is True else str(monotone)


def _read_floor(floor: Any) -> float | None:
    if floor is None or (isinstance(floor, int | float) and not isinstance(floor, bool) and abs(floor) < float("inf")):
        return floor
    raise ValueError(f"least SQNR of a layer {quote(floor)}: must be a finite number of dB, such as 20")


def _read_config(config: Any) -> ModelConfig | None:
    return config if config is None or isinstance(config, ModelConfig) else ModelConfig.read(config)


def _read_cache(budget: Budget | None, config: ModelConfig | None, given: Mapping[str, Any]) -> KeyValueCache | None:
    """The cache that has to fit beside the weights; None where none is asked for."""
    fits = budget is not None and budget.kind == "fit_gib"
    if "context" in given and not fits:
        raise ValueError("--context is that of a cache which has to fit too; give --fit-gib with it")
    if "context" in given and config is None:
        raise ValueError("--context needs the heads and widths of the model; give --config config.json")
    if "kv_dtype" in given and not (fits and config is not None):
        raise ValueError("--kv-dtype is that of a cache which has to fit too; give --fit-gib and --config with it")
    if not fits or config is None:
        return None
    return measure_cache(config, given.get("context"), dtype=given.get("kv_dtype", DEFAULT_DTYPE))
