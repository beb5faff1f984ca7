"""``edgeship demo`` begins in a folder of its own and never in somebody else's."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgeship.demo.cli import demo, prepare


def test_a_new_folder_is_made_and_marked(tmp_path: Path) -> None:
    folder = prepare(tmp_path / "a" / "demo-state")

    assert folder == (tmp_path / "a" / "demo-state").resolve()
    assert [path.name for path in folder.iterdir()] == [".edgeship-demo"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert prepare(tmp_path / "empty").is_dir()


def test_an_earlier_demos_folder_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    state = tmp_path / "demo-state"
    prepare(state)
    (state / "server").mkdir()
    (state / "server" / "fleet.db").write_text("old")

    prepare(state)

    assert [path.name for path in state.iterdir()] == [".edgeship-demo"]
    assert [path.name for path in tmp_path.iterdir()] == ["demo-state"]


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")

    with pytest.raises(click.UsageError, match="holds other files: name an empty or a new folder"):
        prepare(tmp_path)

    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_the_command_refuses_it_as_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")

    done = CliRunner().invoke(demo, ["--state", str(tmp_path)])

    assert done.exit_code == 2
    assert "holds other files" in done.output


def test_an_unknown_broker_is_wrong_usage() -> None:
    done = CliRunner().invoke(demo, ["--broker", "rabbit"])

    assert done.exit_code == 2
    assert "'rabbit' is not one of 'auto', 'mosquitto', 'amqtt'" in done.output
