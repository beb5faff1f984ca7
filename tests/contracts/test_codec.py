"""Bytes and messages are the same thing, or the bytes are refused."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.chunks import ChunkAnswer, ChunkRequest
from contracts.codec import MESSAGE_LIMIT_BYTES, decode, encode, to_plain
from contracts.envelope import Envelope
from contracts.errors import DecodeError
from contracts.health import Heartbeat
from contracts.ids import digest_of
from contracts.metadata import MetadataAnswer, MetadataName
from contracts.sketch import Sketch
from contracts.update import Offer, UpdateReport
from tests.strategies import chunk_requests, envelopes, heartbeats, offers, sketches, update_reports

MESSAGES = offers() | update_reports() | heartbeats() | chunk_requests() | envelopes() | sketches()


@given(MESSAGES)
def test_a_decoded_message_equals_the_encoded_one(message: object) -> None:
    data = encode(message)

    assert decode(type(message), data) == message


@given(MESSAGES)
def test_equal_messages_are_equal_bytes_whatever_the_order_of_keys(message: object) -> None:
    plain = to_plain(message)
    assert isinstance(plain, dict)

    backwards = dict(reversed(plain.items()))

    assert cbor2.dumps(backwards, canonical=True) == encode(message)


@given(offers())
def test_a_newer_peers_extra_field_is_ignored(offer: Offer) -> None:
    plain = to_plain(offer)
    assert isinstance(plain, dict)

    data = cbor2.dumps({**plain, "added_in_schema_9": [1, 2, 3]})

    assert decode(Offer, data) == offer


@given(update_reports(), st.sampled_from(["rollout", "generation", "state", "at"]))
def test_a_missing_field_is_named(report: UpdateReport, name: str) -> None:
    plain = to_plain(report)
    assert isinstance(plain, dict)

    without = {key: value for key, value in plain.items() if key != name}

    with pytest.raises(DecodeError, match=f"UpdateReport.{name}: missing"):
        decode(UpdateReport, cbor2.dumps(without))


@given(st.binary(max_size=200), st.sampled_from([Offer, UpdateReport, Heartbeat, Envelope, Sketch, ChunkRequest]))
def test_arbitrary_bytes_are_a_message_or_a_decode_error(data: bytes, kind: type[object]) -> None:
    try:
        message = decode(kind, data)
    except DecodeError:
        return

    assert decode(kind, encode(message)) == message


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"generation": "7"}, "generation: expected int, got str"),
        ({"generation": True}, "generation: expected int, got bool"),
        ({"release": 3}, "release: expected str, got int"),
        ({"attempt": None}, "attempt: expected int, got NoneType"),
    ],
)
def test_a_field_of_the_wrong_type_is_named(change: dict[str, object], complaint: str) -> None:
    good = {"generation": 7, "model": "digits", "release": "digits@1", "rollout": "r-1", "attempt": 1}

    data = cbor2.dumps({**good, **change})

    with pytest.raises(DecodeError, match=complaint):
        decode(Offer, data)


def test_a_message_over_the_limit_is_refused_before_it_is_parsed() -> None:
    data = b"\x00" * (MESSAGE_LIMIT_BYTES + 1)

    with pytest.raises(DecodeError, match="over the limit"):
        decode(Offer, data)


def test_deep_nesting_is_refused() -> None:
    data = b"\x81" * 100_000

    with pytest.raises(DecodeError):
        decode(Offer, data)


def test_the_largest_chunk_fits_one_message() -> None:
    answer = ChunkAnswer(index=digest_of(b""), place=10**9, data=b"\xff" * (120 * 1024))

    assert len(encode(answer)) <= MESSAGE_LIMIT_BYTES


def test_a_closed_word_that_is_not_in_the_set_is_refused() -> None:
    good = encode(MetadataAnswer(name=MetadataName.ROOT, request=1, part=0, parts=1, data=b"{}"))

    bad = good.replace(b"root", b"boot")

    with pytest.raises(DecodeError, match="name: 'boot' is not a valid MetadataName"):
        decode(MetadataAnswer, bad)
