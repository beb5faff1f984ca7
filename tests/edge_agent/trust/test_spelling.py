"""Metadata have one spelling: what python-tuf writes."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.metadata import DEPTH_LIMIT, NUMBER_LIMIT
from edge_agent.trust.errors import MetadataMalformed
from edge_agent.trust.spelling import check_spelling
from tests.fakes.repository import SignedRepository

LEAVES = st.none() | st.booleans() | st.integers(1 - NUMBER_LIMIT, NUMBER_LIMIT - 1) | st.text(max_size=20)
PLAIN = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner), max_leaves=12)


def _spelt(plain: object) -> bytes:
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


def test_every_file_that_python_tuf_writes_is_in_its_spelling() -> None:
    repository = SignedRepository()

    written = [*repository.files.values(), *repository.director.files.values()]

    assert [data for data in written if not _is_taken(data)] == []


@given(PLAIN)
def test_whatever_a_file_says_has_a_spelling_that_is_taken(plain: object) -> None:
    check_spelling(_spelt(plain), "any")


@given(PLAIN, st.integers(0, 10**6), st.sampled_from([b" ", b"\n", b"\x00", b",", b"0"]))
def test_one_byte_more_is_another_spelling_or_another_file(plain: object, place: int, byte: bytes) -> None:
    data = _spelt({"a": plain})
    at = place % (len(data) + 1)
    longer = data[:at] + byte + data[at:]

    taken = _is_taken(longer)

    assert not taken or _spelt(json.loads(longer)) == longer


@pytest.mark.parametrize(("levels", "taken"), [(DEPTH_LIMIT, True), (DEPTH_LIMIT + 1, False), (100_000, False)])
def test_depth_has_a_limit(*, levels: int, taken: bool) -> None:
    assert _is_taken(b"[" * levels + b"]" * levels) is taken


@pytest.mark.parametrize("number", [NUMBER_LIMIT, -NUMBER_LIMIT, 10**400])
def test_a_number_that_no_memory_counts_to_is_refused(number: int) -> None:
    with pytest.raises(MetadataMalformed, match="whole numbers"):
        check_spelling(b'{"version":%d}' % number, "any")


@pytest.mark.slow
@pytest.mark.parametrize("block", [b'\\"', b'"', b"[]", b'"\\', b"{"])
def test_four_megabytes_of_whatever_are_refused_within_seconds(block: bytes) -> None:
    data = b'"' + block * (4_000_000 // len(block))
    began = time.perf_counter()

    taken = _is_taken(data)

    assert not taken
    assert time.perf_counter() - began < 10


def _is_taken(data: bytes) -> bool:
    try:
        check_spelling(data, "any")
    except MetadataMalformed:
        return False
    return True
