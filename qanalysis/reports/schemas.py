"""Which schemas ship with the package? One per kind of result. Run as a module, this writes them anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qanalysis.comparisons.compare import POOLED
from qanalysis.comparisons.row import ComparisonRow
from qanalysis.diagnosis.causes import Cause
from qanalysis.diagnosis.cures import Cure
from qanalysis.diagnosis.findings import Diagnosis
from qanalysis.models.sensitivity.row import SensitivityRow
from qanalysis.plans.row import PlanRow
from qanalysis.reports.kinds import load_kinds
from qanalysis.results import schema
from qanalysis.sweeps.held import TENSORS, describe_held
from qanalysis.sweeps.row import Row
from qanalysis.training.row import HistoryRow, TrackRow

FOLDER = Path(schema.__file__).with_name("schema")
_TEXT = {"type": "string"}
_COMMAND = {
    **dict.fromkeys(("rule", "layer", "group", "kind", "type"), "string"),
    "value": "number",
    "bits": "integer",
    "rounding": "string",
}


_SENSITIVITY_PARTS = {
    "float": "loss and accuracy of the unchanged model over the same samples",
    "floor": "the noise floor in every figure of the outputs, and what it was measured by",
    "damages": "sums of every sample, from which figures and intervals can be taken again",
    "agreement": "how far two measures rank the layers alike, with 95 % intervals",
    "additivity": "damages of single layers, summed, against joint measurements",
    "measures": "what measures in closed form assume, and for which layers they are missing and why",
    "activations": "what passed through the layers, such as the calls of each expert",
}


def list_schemas() -> dict[str, str]:
    """File name to text, one for each kind of result; that of a sweep also describes diagnoses."""
    more: dict[Any, dict[str, object]] = {
        Row: {
            "diagnoses": {
                "type": "array",
                "description": "causes and measured cures of single layers, where they were asked for",
                "items": {"$ref": "#/$defs/diagnosis"},
            },
            "activations": _describe_activations(),
            TENSORS: describe_held(),
        },
        SensitivityRow: {
            name: {"type": "array", "items": {"type": "object"}, "description": told}
            if name == "agreement"
            else {"type": "object", "description": told}
            for name, told in _SENSITIVITY_PARTS.items()
        }
        | {TENSORS: describe_held()},
        PlanRow: {**_describe_plan(), TENSORS: describe_held()},
        ComparisonRow: {POOLED: _describe_pooled()},
        HistoryRow: {"paths": _describe_paths()},
        TrackRow: {
            "commands": {
                "type": "array",
                "description": "the quantization command that each tensor ends with under each rule",
                "items": {
                    "type": "object",
                    "required": list(_COMMAND),
                    "additionalProperties": False,
                    "properties": {name: {"type": kind} for name, kind in _COMMAND.items()},
                },
            }
        },
    }
    found = {row_type.KIND.schema: schema.describe_kind(row_type, more=more.get(row_type)) for row_type in load_kinds()}
    found[Row.KIND.schema]["$defs"]["diagnosis"] = _describe_diagnosis()
    return {f"{stem}.schema.json": schema.write_schema(one) for stem, one in found.items()}


def _describe_activations() -> dict[str, object]:
    """What a run saw of each activation, beside the rows over them."""
    records = {"type": "array", "items": {"type": "object"}}
    texts, counts = {"type": "array", "items": _TEXT}, {"type": "array", "items": {"type": "integer"}}
    properties: dict[str, object] = {
        "samples": {"type": "integer"},
        "tokens": {"type": "integer"},
        "cure_basis": _TEXT,
        "cure_alphas": {"type": "array", "items": {"type": "number"}},
        "definitions": {"type": "object", "additionalProperties": _TEXT},
        "expert_calls": {"type": "object", "additionalProperties": counts},
        **dict.fromkeys(("notes", "never_seen"), texts),
        **dict.fromkeys(("layers", "cures", "heads", "experts"), records),
    }
    return {
        "type": "object",
        "description": "figures, outliers, cures, heads and experts of activations, where rows are over them",
        "required": list(properties),
        "additionalProperties": False,
        "properties": properties,
    }


def _describe_pooled() -> dict[str, object]:
    number: dict[str, object] = {"type": ["number", "null"]}
    whole: dict[str, object] = {"type": "integer", "minimum": 0}
    properties = {
        **dict.fromkeys(("tensors", "same", "non_finite", "pooled", "values"), whole),
        "over": {"enum": ["weights", "tensors"]},
        **dict.fromkeys(("sqnr_db", "relative_l2", "max_abs_error"), number),
    }
    return {
        "type": "object",
        "description": "of all that was compared the weights that differ as one: sqnr_db is 10 log10 of summed powers, "
        "null without an error",
        "required": list(properties),
        "additionalProperties": False,
        "properties": properties,
    }


def _describe_plan() -> dict[str, object]:
    """What a plan is beside its rows."""
    number, whole = {"type": "number"}, {"type": "integer", "minimum": 0}
    four = {"objective": number, "objective_column": _TEXT, "bits_per_weight": number, "bytes": whole}
    lists = ("scheme", "bits_per_weight", "size_bytes", "cost")
    return {
        "assignments": {"type": "object", "additionalProperties": _TEXT, "description": "the scheme of each tensor"},
        **four,
        "front": {
            "type": "array",
            "description": "plans from the smallest to the best one; choice has the place of each row's scheme among "
            "its candidates",
            "items": {
                "type": "object",
                "required": [*four, "kind", "choice"],
                "properties": {**four, "kind": _TEXT, "choice": {"type": "array", "items": whole}},
            },
        },
        "kept_float": {"type": "object", "additionalProperties": whole, "description": "bytes of what has no scheme"},
        "constraints": {"type": "object", "description": "budget, pins, exclusions, groups, pools as asked for"},
        "candidates": {
            "type": "object",
            "description": "what each tensor could have had",
            "additionalProperties": {
                "type": "object",
                "required": list(lists),
                "properties": {name: {"type": "array"} for name in lists},
            },
        },
        "certainty": {"type": "object", "description": "stability under resampled scores, interactions"},
        "proof": {"type": "object", "description": "the optimum's bound, and what a real run gave"},
    }


def _describe_paths() -> dict[str, object]:
    """Latent and quantized values of single weights, step by step, as a training keeps them."""
    numbers = {"type": "array", "items": {"type": ["number", "null"]}}
    return {
        "type": "array",
        "description": "how single weights moved over their grid, where that was kept",
        "items": {
            "type": "object",
            "required": ["configuration", "layer", "index", "step", "x", "y", "step_size"],
            "additionalProperties": False,
            "properties": {
                **dict.fromkeys(("configuration", "layer"), _TEXT),
                "index": {"type": "integer"},
                "step": {"type": "array", "items": {"type": "integer"}},
                **dict.fromkeys(("x", "y", "step_size"), numbers),
            },
        },
    }


def _describe_diagnosis() -> dict[str, object]:
    """A diagnosis as `Diagnosis.to_dict` makes it: figures without a value, and infinite ones, are null."""
    number = {"type": ["number", "null"]}
    cure = schema.describe_record(
        Cure, more={"worth_bits": number, "net_bits": number, "needs_support": {"type": "boolean"}}, infinite=True
    )
    lists = {"causes": schema.describe_record(Cause, infinite=True), "cures": cure}
    words = {"summary": _TEXT, "advice": _TEXT, "notes": {"type": "array", "items": _TEXT}}
    more = {**words, **{name: {"type": "array", "items": items} for name, items in lists.items()}}
    return schema.describe_record(Diagnosis, more=more, infinite=True)


def write_schemas() -> None:
    """Every schema to its file."""
    for name, text in list_schemas().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_schemas()
