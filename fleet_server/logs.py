"""Log lines: an event phrase and its fields, to standard error."""

from __future__ import annotations

import logging

from fleet_server.config import LogLevel

_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {"message", "asctime", "color_message"}


class EventFormatter(logging.Formatter):
    """Writes ``time level logger: event key=value ...``."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - as in logging
        """Return the line; ``format`` puts a traceback behind it."""
        fields = " ".join(f"{key}={value!s}" for key, value in vars(record).items() if key not in _OWN)
        return _printable(f"{super().formatMessage(record)} {fields}".rstrip())

    def format(self, record: logging.LogRecord) -> str:
        """Return the line and, of an exception, the traceback."""
        return "\n".join(_printable(line) for line in super().format(record).split("\n"))


def set_up_logs(level: LogLevel) -> None:
    """Let the process log at that level; other people's libraries only warn."""
    shown = logging.StreamHandler()
    shown.setFormatter(EventFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[shown], force=True)
    logging.getLogger("fleet_server").setLevel(level.value.upper())


def _printable(text: str) -> str:
    """Return the text on one line, without what a terminal would obey: strangers' words are logged, too."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )
