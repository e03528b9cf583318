"""Reads the reference numbers in tests/vectors; each file says where its numbers come from."""

import csv
import json
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent / "vectors"


def read_csv(name: str) -> list[dict[str, str]]:
    with (VECTORS / name).open() as file:
        return list(csv.DictReader(file))


def read_json(name: str) -> Any:
    return json.loads((VECTORS / name).read_text())
