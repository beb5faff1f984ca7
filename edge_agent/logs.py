"""What the agent prints while it runs: one line an event, its fields after it."""

from __future__ import annotations

import logging

_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class FieldsFormatter(logging.Formatter):
    """Time, level, phrase, then ``name=value`` for each field that the caller gave."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as in logging
        """Return the line; ``format`` puts a traceback behind it."""
        fields = {name: value for name, value in vars(record).items() if name not in _KNOWN}
        return _printable(
            super().formatMessage(record) + "".join(f" {name}={value!s}" for name, value in fields.items())
        )

    def format(self, record: logging.LogRecord) -> str:
        """Return the line and, of an exception, the traceback."""
        return "\n".join(_printable(line) for line in super().format(record).split("\n"))


def log_to_stderr(level: str) -> None:
    """Send this process's log to standard error, from ``level`` on."""
    handler = logging.StreamHandler()
    handler.setFormatter(FieldsFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _printable(text: str) -> str:
    """Return the text on one line, without what a terminal would obey: strangers' words are logged, too."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
