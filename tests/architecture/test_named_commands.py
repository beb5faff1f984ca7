"""Every command that a message, a page or a document names exists, as it is spelt there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from edgeship.cli import edgeship

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("contracts", "device_profiles", "edge_agent", "edgeship", "fleet_server", "optimizer", "signing")
TEXTS = sorted(
    path
    for package in PACKAGES
    for path in (ROOT / package).rglob("*")
    if path.suffix in (".py", ".html", ".md", ".j2")
)
NAMED = re.compile(r"(?:['`]|: )edgeship((?: [a-z][a-z-]*)+)(?=['` ])")


def named_commands() -> list[str]:
    """Return each ``edgeship WORD ...`` that the product's texts name, once."""
    found = {match.strip() for path in TEXTS for match in NAMED.findall(path.read_text(encoding="utf-8"))}
    return sorted(found)


def resolved(words: list[str]) -> Iterator[click.Command]:
    """Yield the command that the words name, group by group."""
    command: click.Command = edgeship
    for word in words:
        if not isinstance(command, click.Group):
            return
        found = command.get_command(click.Context(command), word)
        assert found is not None, f"'edgeship {' '.join(words)}': {command.name} has no command {word}"
        yield (command := found)


def test_the_texts_name_many_commands() -> None:
    assert len(named_commands()) > 20


@pytest.mark.parametrize("line", named_commands())
def test_a_command_that_a_text_names_exists(line: str) -> None:
    *_, command = resolved(line.split())

    assert isinstance(command, click.Command)
