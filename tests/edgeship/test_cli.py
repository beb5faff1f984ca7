"""The one command: lazy, and one line for whatever is wrong."""

from __future__ import annotations

import errno
import importlib
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from contracts.errors import ArtifactError
from edgeship.cli import OUR_PACKAGES, SUBCOMMANDS, edgeship, is_ours, main


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process."""
    return subprocess.run([sys.executable, "-m", "edgeship", *arguments], check=False, capture_output=True, text=True)


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_is_where_the_map_says(name: str) -> None:
    module, _, attribute = SUBCOMMANDS[name].where.partition(":")

    command = getattr(importlib.import_module(module), attribute)

    assert isinstance(command, click.Command)
    assert command.name == name


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_every_subcommand_answers_help(name: str) -> None:
    done = CliRunner().invoke(edgeship, [name, "--help"])

    assert done.exit_code == 0, done.output
    assert "Usage: " in done.output


def test_help_lists_every_subcommand_in_story_order() -> None:
    lines = CliRunner().invoke(edgeship, ["--help"]).output.splitlines()

    listed = [line.split()[0] for line in lines[lines.index("Commands:") + 1 :] if line.strip()]

    assert [name for name in listed if name in SUBCOMMANDS] == list(SUBCOMMANDS)


def test_an_unknown_subcommand_is_wrong_usage() -> None:
    done = run("optimise")

    assert done.returncode == 2
    assert "No such command 'optimise'" in done.stderr


def test_a_missing_option_is_explained_with_an_example() -> None:
    done = run("server", "run")

    assert done.returncode == 2
    assert "Missing option '--data'" in done.stderr
    assert "as in --data fleet" in done.stderr


@pytest.mark.parametrize("words", [("optimise",), ("fleet", "devic")])
def test_an_unknown_subcommand_names_the_nearest(words: tuple[str, ...]) -> None:
    done = run(*words)

    assert done.returncode == 2
    assert "did you mean" in done.stderr.lower()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ArtifactError("the file is cut short"), "error: the file is cut short\n"),
        (
            OSError(errno.ENOSPC, "No space left on device", "big.bin"),
            "error: the disk is full (big.bin): free some space",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "secret"),
            "error: no permission (secret): choose a folder",
        ),
        (KeyboardInterrupt(), "stopped\n"),
        (MemoryError(), "error: out of memory: more was asked for than this machine has free; free some"),
        (ArtifactError("no '\x1b[2J\x07\u202e'"), "error: no '\\x1b[2J\\x07\\u202e'\n"),
    ],
)
def test_what_goes_wrong_is_one_line(
    error: BaseException, sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_options: object) -> None:
        raise error

    monkeypatch.setitem(edgeship.__dict__, "main", fail)

    with pytest.raises(SystemExit) as stop:
        main(["anything"])

    assert stop.value.code in (1, 130)
    assert capsys.readouterr().err.startswith(sentence)


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    assert not is_ours(ZeroDivisionError())
    assert is_ours(ArtifactError("x"))
    assert {"contracts", "optimizer", "edge_agent", "fleet_server"} <= OUR_PACKAGES
