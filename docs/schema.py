"""Write the published JSON Schemas into the package: python docs/schema.py (make schema)."""

from __future__ import annotations

from pathlib import Path

import memaudit
from memaudit.files import to_json
from memaudit.report import document
from memaudit.run import record

SCHEMAS = {"scan": record.schema, "report": document.schema}

if __name__ == "__main__":
    for name, made in SCHEMAS.items():
        path = Path(memaudit.__file__).parent / "schemas" / f"{name}.schema.json"
        path.write_bytes(to_json(made()))
