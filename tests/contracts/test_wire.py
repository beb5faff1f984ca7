"""WIRE.md and the code name the same clauses."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CLAUSE = re.compile(r"\[wire-\d+\.\d+\]")
SOURCES = [
    path
    for package in ("contracts", "edge_agent", "fleet_server", "signing")
    for path in (ROOT / package).rglob("*.py")
]


def test_every_clause_is_cited_where_it_is_kept_and_every_citation_names_a_clause() -> None:
    stated = {line.split("**")[1] for line in _wire().splitlines() if line.startswith("- **[wire-")}

    cited = {clause for path in SOURCES for clause in CLAUSE.findall(path.read_text(encoding="utf-8"))}

    assert (sorted(stated - cited), sorted(cited - stated)) == ([], [])


def _wire() -> str:
    return (ROOT / "contracts" / "WIRE.md").read_text(encoding="utf-8")
