"""Which JSON does a kind of result have? Its JSON Schema (draft 2020-12), generated from the columns of its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qanalysis.results.columns import CellType, Column, Kind, columns_of, totals_of
from qanalysis.results.document import SCHEMA_VERSION

_KINDS = {
    "text": "string",
    "integer": "integer",
    "number": "number",
    "flag": "boolean",
    "list": "array",
    "record": "object",
}
_SOURCE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["path", "size", "digest", "stored"],
    "properties": {
        "path": {"type": "string", "description": "label of the input, never an absolute path"},
        "size": {"type": "integer", "minimum": 0, "description": "bytes"},
        "digest": {"type": ["string", "null"], "description": "sha256:..., null where it was not taken"},
        "stored": {"type": "string", "description": "how a quantizer packed the values; empty for plain numbers"},
    },
}


def describe_kind(row_type: Any, *, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The schema of the documents of a row type, draft 2020-12; nothing but its keys is allowed.

    `more` are properties that such a document may have beside the common ones; they are not required.
    """
    kind, totals = row_type.KIND, totals_of(row_type)
    definitions: dict[str, Any] = {"row": describe_record(row_type)}
    if totals is not row_type:
        definitions["total"] = describe_record(totals)
    required = ["schema_version", "tool_version", "source", "settings", "coverage", "rows", "totals"]
    properties: dict[str, Any] = {
        "schema_version": {"const": SCHEMA_VERSION},
        "tool_version": {"type": "string"},
        "source": _describe_source(kind),
        "settings": _describe_settings(kind.command),
        "coverage": {"type": "array", "items": {"type": "object"}, "description": "what was left out, and why"},
        "rows": {"type": "array", "minItems": kind.least, "items": {"$ref": "#/$defs/row"}},
        "totals": {"type": "array", "items": {"$ref": "#/$defs/total" if totals is not row_type else "#/$defs/row"}},
        **(more or {}),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:qanalysis:{kind.schema}:{SCHEMA_VERSION}",
        "title": f"{kind.title}, as `qanalysis {kind.command} --json` prints them",
        "description": "Figures that are not finite are null.",
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": properties,
        "$defs": definitions,
    }


def _describe_source(kind: Kind) -> dict[str, Any]:
    if not kind.reads:
        return {"type": "null", "description": "nothing is read"}
    return {"anyOf": [_SOURCE, {"type": "null"}]} if kind.sourceless else _SOURCE


def describe_record(record: Any, *, more: Mapping[str, Any] | None = None, infinite: bool = False) -> dict[str, Any]:
    """The schema of one object with a dataclass's columns, and `more` properties; `infinite`: any number in it may be
    null.
    """
    properties = {column.name: _describe_column(column, infinite=infinite) for column in columns_of(record)} | dict(
        more or {}
    )
    return {"type": "object", "additionalProperties": False, "required": list(properties), "properties": properties}


def write_schema(schema: Mapping[str, Any]) -> str:
    """The text of a schema file."""
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _describe_settings(command: str) -> dict[str, Any]:
    """Command, completeness and time are common to all; every command has options of its own beside them."""
    return {
        "type": "object",
        "required": ["command", "complete"],
        "properties": {
            "command": {"const": command},
            "complete": {
                "type": "boolean",
                "description": "false where the work was cancelled and the rows are those made so far",
            },
            "created": {"type": "string", "format": "date-time"},
        },
        "description": "the options as given",
    }


def _describe_column(column: Column, *, infinite: bool) -> dict[str, Any]:
    """Kind, least value and meaning; a column that no one has named has no description."""
    found = _describe_type(column.type, may_lack=infinite or column.infinite is not None)
    found |= {} if column.least is None else {"minimum": column.least}
    unit = f", {column.unit}" if column.unit else ""
    return found if column.label == column.name else {**found, "description": f"{column.meaning}{unit}"}


def _describe_type(kind: CellType, *, may_lack: bool = False) -> dict[str, Any]:
    """A cell's kind; null is allowed where the type says so, and for any number in it where `may_lack`."""
    if kind.record is not None:
        record = describe_record(kind.record, infinite=may_lack)
        return {"anyOf": [{"type": "null"}, record]} if kind.nullable else record
    if kind.choices:
        return {"enum": [*kind.choices, *([None] if kind.nullable else [])]}
    word = _KINDS[kind.kind]
    may_be_null = kind.nullable or (may_lack and kind.kind == "number")
    found: dict[str, Any] = {"type": [word, "null"] if may_be_null else word}
    if kind.item is not None:
        found["items"] = _describe_type(kind.item, may_lack=may_lack)
    if kind.length is not None:
        found |= {"minItems": kind.length, "maxItems": kind.length}
    return found
