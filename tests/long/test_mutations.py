"""Each check that refuses an attack is taken out in a copy of the tree: the tests that guard it must then fail."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attacks.checks import CHECKS, Check
from tests.slow import record

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.system]

ROOT = Path(__file__).resolve().parent.parent.parent
_COPIED = ("contracts", "device_profiles", "edge_agent", "edgeship", "fleet_server", "optimizer", "signing", "tests")
_LIMIT_S = 300.0


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of all packages and tests."""
    copy = tmp_path_factory.mktemp("mutated")
    for name in _COPIED:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    return copy


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_without_the_check_its_tests_fail(check: Check, tree: Path) -> None:
    file = tree / check.file
    whole = file.read_text(encoding="utf-8")
    before = _failed(tree, check)

    file.write_text(whole.replace(check.old, check.new), encoding="utf-8")
    try:
        after = _failed(tree, check)
    finally:
        file.write_text(whole, encoding="utf-8")

    record(check.name, "killed by " + ", ".join(name.rpartition("::")[2] for name in sorted(after)))
    assert before == set()
    assert after == set(check.killed_by)


def _failed(tree: Path, check: Check) -> set[str]:
    """Run the tests that guard the check on the copy and return those that fail."""
    command = [sys.executable, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", "--no-header", *check.killed_by]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=_LIMIT_S
    )
    assert done.returncode in {0, 1}, done.stdout[-2000:]
    return set(re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE))
