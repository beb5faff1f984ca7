"""Log lines: an event phrase and its fields, to standard error."""

from __future__ import annotations

import logging

from fleet_server.config import LogLevel

_OWN = frozenset(vars(logging.LogRecord("", 0, "", 0, "", None, None))) | {"message", "asctime", "color_message"}


class EventFormatter(logging.Formatter):
    """Writes ``time level logger: event key=value ...``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = " ".join(f"{key}={value!s}" for key, value in vars(record).items() if key not in _OWN)
        line = super().format(record)
        head, newline, trace = line.partition("\n")
        return f"{head} {fields}".rstrip() + newline + trace


def set_up_logs(level: LogLevel) -> None:
    """Let the process log at that level; other people's libraries only warn."""
    shown = logging.StreamHandler()
    shown.setFormatter(EventFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[shown], force=True)
    logging.getLogger("fleet_server").setLevel(level.value.upper())
