"""The list of checks is in step with the code, and leaves no attack out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.attacks.checks import CHECKS, Check

ROOT = Path(__file__).resolve().parent.parent.parent
_ATTACK = re.compile(r"^(?:async )?def (test_attack_\w+)", re.MULTILINE)


def attacks() -> set[str]:
    """Return every attack's test as ``FILE::NAME``."""
    files = sorted((ROOT / "tests" / "attacks").glob("test_*.py"))
    return {f"tests/attacks/{file.name}::{name}" for file in files for name in _ATTACK.findall(file.read_text("utf-8"))}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_check_is_where_the_list_says(check: Check) -> None:
    text = (ROOT / check.file).read_text("utf-8")

    assert text.count(check.old) == 1
    assert check.new != check.old


def test_every_attack_is_refused_by_a_check_of_the_list() -> None:
    guarded = {name.partition("[")[0] for check in CHECKS for name in check.killed_by}

    assert attacks() - guarded == set()


def test_the_list_names_tests_that_exist() -> None:
    named = {name.partition("[")[0] for check in CHECKS for name in check.killed_by}

    assert {name for name in named if name.startswith("tests/attacks/")} - attacks() == set()


def test_no_two_checks_have_one_name() -> None:
    names = [check.name for check in CHECKS]

    assert len(names) == len(set(names))
