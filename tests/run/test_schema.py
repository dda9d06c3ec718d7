"""The JSON Schema that is published is that of the types."""

import json
from pathlib import Path

from memaudit.run.record import schema

PUBLISHED = Path(__file__).parents[2] / "docs/scan.schema.json"


def test_the_published_schema_is_that_of_the_record():
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == json.loads(json.dumps(schema()))
