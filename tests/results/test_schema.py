"""The shipped schemas are those that the columns make, where programs look for them."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

import qanalysis
from qanalysis.reports.kinds import load_kinds
from qanalysis.reports.schemas import list_schemas

SCHEMAS = list_schemas()


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_shipped_schema_is_the_generated_one(name: str) -> None:
    shipped = files("qanalysis").joinpath(f"schema/{name}").read_text("utf-8")
    assert shipped == SCHEMAS[name], "write the schemas anew: make schema"
    jsonschema.Draft202012Validator.check_schema(json.loads(shipped))


def test_every_kind_has_its_schema_and_there_is_no_other() -> None:
    folder = Path(qanalysis.__file__).parent / "results" / "schema"
    assert (
        {path.name for path in folder.iterdir()}
        == set(SCHEMAS)
        == {f"{kind.KIND.schema}.schema.json" for kind in load_kinds()}
    )
