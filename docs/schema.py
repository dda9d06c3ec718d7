"""Write the JSON Schema of scan.json: python docs/schema.py (make schema)."""

from __future__ import annotations

from pathlib import Path

from memaudit.files import to_json
from memaudit.run.record import schema

if __name__ == "__main__":
    (Path(__file__).parent / "scan.schema.json").write_bytes(to_json(schema()))
