"""Help that lists options under headings, so that a newcomer finds the few that matter first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

SECTIONS: Final = ("Required", "Budgets", "Model", "Data", "Pruning", "Measuring", "What is kept", "Other")
"""The headings, in their order."""


class SectionedOption(click.Option):
    """An option that knows its heading."""

    def __init__(self, *words: Any, section: str = SECTIONS[-1], **rest: Any) -> None:
        super().__init__(*words, **rest)
        self.section = section


class StoryGroup(click.Group):
    """A group that lists its commands in the order in which they were added."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in story order."""
        del ctx
        return list(self.commands)


class SectionedCommand(click.Command):
    """A command whose help has a heading for each kind of options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings."""
        by_section: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                by_section.setdefault(getattr(parameter, "section", SECTIONS[-1]), []).append(record)
        for section in SECTIONS:
            if section in by_section:
                with formatter.section(section):
                    formatter.write_dl(by_section[section], col_max=28)


def option(section: str, *words: str, **rest: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return the decorator that adds an option under the heading."""
    return click.option(*words, cls=SectionedOption, section=section, **rest)
