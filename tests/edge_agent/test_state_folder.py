"""The state folder's files have one name each, and a running agent's address is read by one function."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from edge_agent.disk import SystemDisk
from edge_agent.errors import StateError
from edge_agent.state_folder import ServingAddress, StateFolder, announce_serving, keep_private, serving_address
from edge_agent.supervisor import hold_state
from tests.fakes.disk import FullDisk

ROOT = Path(__file__).resolve().parent.parent.parent
NAMES = {
    value.name
    for name, kind in vars(StateFolder).items()
    if isinstance(kind, property) and isinstance(value := getattr(StateFolder(Path("state")), name), Path)
}
READERS = sorted(path for package in ("edge_agent", "edgeship") for path in (ROOT / package).rglob("*.py"))


def joined_names(path: Path) -> set[str]:
    """Return the literals that the module puts behind a ``/``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    rights = [one.right for one in ast.walk(tree) if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Div)]
    return {str(right.value) for right in rights if isinstance(right, ast.Constant)}


@pytest.mark.parametrize("path", READERS, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_one_module_names_the_files(path: Path) -> None:
    mine = {"models", "metadata"} if path.is_relative_to(ROOT / "edgeship") else set()  # also folders of other things

    named = joined_names(path) & (NAMES - mine)

    assert bool(named) == (path.name == "state_folder.py")


def test_every_file_has_a_name_of_its_own() -> None:
    assert len(NAMES) == 12


def test_an_announced_address_is_read_back(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)

    announce_serving(state, ServingAddress(host="127.0.0.1", port=8080, pid=7), SystemDisk())

    assert serving_address(state) == ServingAddress(host="127.0.0.1", port=8080, pid=7)
    assert str(serving_address(state)) == "127.0.0.1:8080"


def test_no_agent_has_no_address(tmp_path: Path) -> None:
    assert serving_address(StateFolder(tmp_path)) is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"host": "h", "port": "x", "pid": 1}'])
def test_a_damaged_address_is_said_to_be_one(text: str, tmp_path: Path) -> None:
    StateFolder(tmp_path).serving.write_text(text)

    with pytest.raises(StateError, match=r"serving.json cannot be read .*; remove it"):
        serving_address(StateFolder(tmp_path))


def test_an_address_that_cannot_be_written_names_the_file_and_the_way_out(tmp_path: Path) -> None:
    state = StateFolder(tmp_path)

    with pytest.raises(StateError, match=r"cannot write .*serving.json: .*; free some room"):
        announce_serving(state, ServingAddress(host="127.0.0.1", port=1, pid=1), FullDisk("serving"))


def test_a_folder_that_was_there_before_is_closed_to_others(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o755)

    with hold_state(state):
        assert state.stat().st_mode & 0o777 == 0o700


def test_a_new_folder_is_its_owners_alone(tmp_path: Path) -> None:
    keep_private(tmp_path / "by" / "hand")

    assert (tmp_path / "by" / "hand").stat().st_mode & 0o777 == 0o700
