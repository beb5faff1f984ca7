"""The pages of contracts/ and the code name the same clauses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("contracts", "edge_agent", "fleet_server", "optimizer", "signing")
SOURCES = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]


@pytest.mark.parametrize(("page", "prefix"), [("WIRE.md", "wire"), ("ARTIFACT.md", "artifact")])
def test_every_clause_is_cited_where_it_is_kept_and_every_citation_names_a_clause(page: str, prefix: str) -> None:
    text = (ROOT / "contracts" / page).read_text(encoding="utf-8")
    stated = {line.split("**")[1] for line in text.splitlines() if line.startswith(f"- **[{prefix}-")}
    clause = re.compile(rf"\[{prefix}-\d+\.\d+\]")

    cited = {found for path in SOURCES for found in clause.findall(path.read_text(encoding="utf-8"))}

    assert stated
    assert (sorted(stated - cited), sorted(cited - stated)) == ([], [])
