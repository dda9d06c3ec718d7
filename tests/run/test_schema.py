"""The JSON Schemas that are published are those of the types, and lie in the package."""

import json
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator
from recorded import ALL

from memaudit.report import document
from memaudit.run import record

SCHEMAS = {"scan": record.schema, "report": document.schema}


def published(name):
    return json.loads((files("memaudit") / f"schemas/{name}.schema.json").read_text("utf-8"))


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_published_schema_is_that_of_the_types(name):
    assert published(name) == json.loads(json.dumps(SCHEMAS[name]()))
    Draft202012Validator.check_schema(published(name))


def test_the_schemas_carry_the_versions_of_what_they_describe():
    assert published("scan")["$id"] == f"urn:memaudit:scan:{record.FORMAT}"
    assert published("report")["$id"] == f"urn:memaudit:report:{document.FORMAT}"
    assert published("report")["properties"]["format"]["const"] == document.FORMAT


@pytest.mark.parametrize("made", ALL, ids=lambda one: one.__name__)
def test_a_record_is_as_its_schema_says(made):
    Draft202012Validator(published("scan")).validate(record.content(made()))
