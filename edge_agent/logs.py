"""What the agent prints while it runs: one line an event, its fields after it."""

from __future__ import annotations

import logging

_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class FieldsFormatter(logging.Formatter):
    """Time, level, phrase, then ``name=value`` for each field that the caller gave."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        fields = {name: value for name, value in vars(record).items() if name not in _KNOWN}
        return super().format(record) + "".join(f" {name}={value!s}" for name, value in fields.items())


def log_to_stderr(level: str) -> None:
    """Send this process's log to standard error, from ``level`` on."""
    handler = logging.StreamHandler()
    handler.setFormatter(FieldsFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
