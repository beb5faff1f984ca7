"""Messages keep their bytes: a file of ``tests/golden`` never changes, a new schema gets a new one beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.codec import decode, encode
from tests.contracts.messages import MESSAGES

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
NEWEST = {name.rpartition("-")[0]: name for name in sorted(MESSAGES, key=lambda name: int(name.rpartition("-")[2]))}
"""The newest schema of each message; its file is written once, with ``encode``, and never again."""


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_of_old_is_still_read_as_it_was_meant(name: str) -> None:
    message = MESSAGES[name]

    read = decode(type(message), (GOLDEN / f"{name}.cbor").read_bytes())

    assert read == message


@pytest.mark.parametrize("name", NEWEST.values())
def test_what_is_sent_now_has_the_bytes_of_its_newest_schema(name: str) -> None:
    assert encode(MESSAGES[name]) == (GOLDEN / f"{name}.cbor").read_bytes()


def test_every_golden_message_is_tried() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.cbor")) == sorted(MESSAGES)
