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

    data = cbor2.dumps({**plain, "added_in_schema_9": [1, 2, 3]}, canonical=True)

    assert decode(Offer, data) == offer


@given(update_reports(), st.sampled_from(["rollout", "generation", "state", "at"]))
def test_a_missing_field_is_named(report: UpdateReport, name: str) -> None:
    plain = to_plain(report)
    assert isinstance(plain, dict)

    without = {key: value for key, value in plain.items() if key != name}

    with pytest.raises(DecodeError, match=f"UpdateReport.{name}: missing"):
        decode(UpdateReport, cbor2.dumps(without, canonical=True))


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

    data = cbor2.dumps({**good, **change}, canonical=True)

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


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**2000])
def test_an_integer_that_no_database_holds_is_refused(number: int) -> None:
    good = {"generation": 7, "model": "digits", "release": "digits@1", "rollout": "r-1", "attempt": 1}

    data = cbor2.dumps({**good, "generation": number}, canonical=True)

    with pytest.raises(DecodeError, match="generation: an integer of"):
        decode(Offer, data)


def test_a_whole_number_too_large_for_a_float_is_refused() -> None:
    data = cbor2.dumps(
        {"uptime_s": 2**2000, "profile": "pi", "agent_version": "1", "running": {}, "at": "2026-11-20T12:00:00+00:00"},
        canonical=True,
    )

    with pytest.raises(DecodeError, match="uptime_s: int too large"):
        decode(Heartbeat, data)


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_time_that_is_none_in_utc_is_refused(moment: str) -> None:
    plain = {"uptime_s": 1.0, "profile": "pi", "agent_version": "1", "running": {}, "at": moment}

    data = cbor2.dumps(plain, canonical=True)

    with pytest.raises(DecodeError, match="at: "):
        decode(Heartbeat, data)


OFFER = {"generation": 7, "model": "digits", "release": "digits@1", "rollout": "r-1", "attempt": 1}
KEY_AND_VALUE = b"\x67attempt\x01"


@pytest.mark.parametrize(
    "data",
    [
        cbor2.dumps(OFFER, canonical=True) + b"\x00",
        b"\xa6" + cbor2.dumps(OFFER, canonical=True)[1:] + KEY_AND_VALUE,
        cbor2.dumps(dict(sorted(OFFER.items(), reverse=True))),
        cbor2.dumps(OFFER, canonical=True).replace(KEY_AND_VALUE, b"\x67attempt\x18\x01"),
    ],
    ids=["bytes left over", "a key twice", "keys in another order", "a number in a longer form"],
)
def test_another_spelling_of_a_message_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="not the canonical form"):
        decode(Offer, data)


@pytest.mark.parametrize("tag", [0, 5, 30, 35, 37, 52, 258, 43000, 55799, 99_999])
def test_a_tag_is_refused_before_anything_is_made_of_it(tag: int) -> None:
    data = cbor2.dumps({**OFFER, "unknown_field": cbor2.CBORTag(tag, "1")}, canonical=True)

    with pytest.raises(DecodeError, match=f"tag {tag}"):
        decode(Offer, data)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"model": "../digits"}, "model name '../digits' is not valid"),
        ({"release": "digits"}, "release id 'digits' is not valid"),
        ({"release": "faces@1"}, "release faces@1 is not one of model digits"),
        ({"release": "digits@" + "A" * 60_000}, "release version"),
        ({"rollout": "R 1"}, "rollout id 'R 1' is not valid"),
        ({"generation": -1}, "generation -1 is not between 0 and"),
        ({"generation": 2**53}, f"generation {2**53} is not between 0 and"),
        ({"attempt": -1}, "attempt -1 is not between 0 and"),
        ({"max_bytes_s": -1}, "max_bytes_s -1 is not between 0 and"),
        ({"max_bytes_s": 2**40}, f"max_bytes_s {2**40} is not between 0 and"),
    ],
)
def test_an_offer_of_odd_names_or_numbers_is_none(change: dict[str, object], complaint: str) -> None:
    data = cbor2.dumps({**OFFER, **change}, canonical=True)

    with pytest.raises(DecodeError, match=complaint):
        decode(Offer, data)
