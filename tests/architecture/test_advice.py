"""What an error tells the user to run next is a command that there is."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from edgeship.cli import edgeship

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("contracts", "device_profiles", "edge_agent", "fleet_server", "optimizer", "signing", "edgeship")
ADVICE = re.compile(r"'edgeship ((?:[a-z][a-z-]*)(?: [a-z][a-z-]*)*)")
TEXTS = [path.read_text(encoding="utf-8") for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
ADVISED = sorted({words for text in TEXTS for words in ADVICE.findall(text)})


def resolve(command: click.Command, words: list[str]) -> click.Command | None:
    """Return the command that the words lead to; None where there is none. A command's own arguments end the way."""
    if not words or not isinstance(command, click.Group):
        return command
    found = command.get_command(click.Context(command), words[0])
    return resolve(found, words[1:]) if found else None


@pytest.mark.parametrize("words", ADVISED)
def test_a_command_named_in_a_message_exists(words: str) -> None:
    assert resolve(edgeship, words.split()) is not None


def test_a_command_that_is_not_there_is_found_out() -> None:
    assert len(ADVISED) > 10
    assert resolve(edgeship, ["fleet", "no-such-thing"]) is None
