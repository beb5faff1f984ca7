"""A log line is one line that no stranger's words can bend."""

from __future__ import annotations

import logging

import pytest

from edge_agent.logs import FieldsFormatter
from fleet_server.logs import EventFormatter

FORMAT = "%(levelname)s %(name)s: %(message)s"


@pytest.mark.parametrize("formatter", [EventFormatter(FORMAT), FieldsFormatter(FORMAT)])
def test_what_a_terminal_would_obey_is_spelt_out(formatter: logging.Formatter) -> None:
    record = logging.makeLogRecord(
        {
            "name": "devices",
            "levelname": "INFO",
            "msg": "asked\nfor",
            "path": "/\x1b[2J\x00é\r\n2026 ERROR forged\ud800",
        }
    )

    assert formatter.format(record) == ("INFO devices: asked\\nfor path=/\\x1b[2J\\x00é\\r\\n2026 ERROR forged\\ud800")


@pytest.mark.parametrize("formatter", [EventFormatter(FORMAT), FieldsFormatter(FORMAT)])
def test_a_traceback_keeps_its_lines(formatter: logging.Formatter) -> None:
    record = logging.makeLogRecord({"name": "devices", "levelname": "ERROR", "msg": "failed", "device": "pi-1"})
    with pytest.raises(ValueError, match="base 10") as caught:
        int("\x1b[31m")
    caught.value.args = ("odd \x1b[31m name",)
    record.exc_info = (caught.type, caught.value, caught.tb)

    first, second, *_, last = formatter.format(record).split("\n")

    assert (first, second) == ("ERROR devices: failed device=pi-1", "Traceback (most recent call last):")
    assert last == "ValueError: odd \\x1b[31m name"
