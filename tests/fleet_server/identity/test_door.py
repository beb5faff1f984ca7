"""Connections are counted where they are accepted."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from fleet_server.identity import door
from fleet_server.identity.door import Door, raise_file_limit, room


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def _door(stack: ExitStack, *, most: int, most_of_one_address: int) -> Door:
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return stack.enter_context(Door(listener, most=most, most_of_one_address=most_of_one_address))


def _come(stack: ExitStack, at: Door, origin: str = "127.0.0.1") -> socket.socket:
    return stack.enter_context(socket.create_connection(at.getsockname(), timeout=5, source_address=(origin, 0)))


def test_an_address_that_has_its_share_is_closed_and_others_come_in(stack: ExitStack) -> None:
    at = _door(stack, most=10, most_of_one_address=1)
    _come(stack, at)
    stack.enter_context(at.accept()[0])

    second = _come(stack, at)
    with pytest.raises(ConnectionAbortedError):
        at.accept()
    _come(stack, at, "127.0.0.2")
    stack.enter_context(at.accept()[0])

    assert second.recv(1) == b""
    assert at.refused == 1


def test_in_all_there_are_so_many_whatever_their_addresses(stack: ExitStack) -> None:
    at = _door(stack, most=1, most_of_one_address=1)
    _come(stack, at)
    stack.enter_context(at.accept()[0])

    _come(stack, at, "127.0.0.2")
    with pytest.raises(ConnectionAbortedError):
        at.accept()


def test_whoever_leaves_makes_room_once(stack: ExitStack) -> None:
    at = _door(stack, most=1, most_of_one_address=1)
    _come(stack, at)
    first, _ = at.accept()
    first.close()
    first.close()

    _come(stack, at)
    stack.enter_context(at.accept()[0])
    _come(stack, at)
    with pytest.raises(ConnectionAbortedError):
        at.accept()


@pytest.mark.parametrize(
    ("address", "origin"),
    [("10.0.0.7", "10.0.0.7"), ("::ffff:10.0.0.7", "10.0.0.7"), ("2001:db8::1:2:3:4", "2001:db8::/64")],
)
def test_a_site_is_counted_together(address: str, origin: str) -> None:
    assert door._origin(address) == origin


def test_there_is_room_for_half_of_what_the_process_may_open_and_for_no_more_than_select_takes() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (600, limits[1]))
    small = room()
    raised = raise_file_limit()
    large = room()
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert (small, large) == (300, 512)
    assert raised == min(limits[1], door.FILES)
