"""What a fuzzer throws: mutated bytes, arbitrary plain values, and messages of the right shape with hostile values."""

from __future__ import annotations

import dataclasses
import os
import time
import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

import hypothesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st

from contracts.codec import Plain
from tests.slow import seed

Example = TypeVar("Example")
EXAMPLES_A_RUN = 200
SHARE_VARIABLE = "EDGESHIP_FUZZ_SHARE"
"""What share of the time each fuzzer takes, as in 0.1 for a quick look; 1 where it is not set."""
INTEGERS = st.integers(-5, 5) | st.sampled_from([2**31, 2**53, 2**63 - 1, 2**63, -(2**63) - 1, 2**200]) | st.integers()
TEXTS = st.text(max_size=20) | st.sampled_from(["", "\x00", "a" * 5000, "../x", "digits@1.0.0", "pi-1"])
FLOATS = st.floats() | st.sampled_from([1e308, -0.0, 5e-324])
TIMES = st.sampled_from(
    ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-11-20T12:00:00+00:00", "2026-11-20", "now"]
)


def fuzz(strategy: st.SearchStrategy[Example], check: Callable[[Example], None], *, seconds: float) -> int:
    """Check random examples until the time is over; return how many. A failure is shrunk and raised."""
    end = time.monotonic() + seconds * float(os.environ.get(SHARE_VARIABLE, "1"))
    done = 0

    def each(example: Example) -> None:
        nonlocal done
        done += 1
        check(example)

    run = 0
    while time.monotonic() < end:
        given = hypothesis.given(strategy)(each)
        quiet = hypothesis.settings(
            max_examples=EXAMPLES_A_RUN,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )(given)
        hypothesis.seed(seed() + run)(quiet)()
        run += 1
    return done


def mutated(whole: bytes) -> st.SearchStrategy[bytes]:
    """Return the bytes with some flipped, cut short, grown, or a stretch of them repeated."""
    places = st.integers(0, len(whole) - 1)
    flips = st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)
    return st.one_of(
        flips.map(lambda changes: _flipped(whole, changes)),
        places.map(lambda place: whole[:place]),
        st.binary(max_size=40).map(lambda more: whole + more),
        st.tuples(places, places).map(lambda two: whole[: two[0]] + whole[min(two) : max(two)] + whole[two[0] :]),
        st.binary(max_size=300),
    )


def plain_values() -> st.SearchStrategy[object]:
    """Return anything that CBOR can spell."""
    leaves = st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS | st.binary(max_size=40)
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.integers(-2, 2), inner, max_size=4)
        ),
        max_leaves=20,
    )


def hostile(kind: Any) -> st.SearchStrategy[Any]:
    """Return plain values of the shape that the annotation asks for, with values that nobody sane would send."""
    while isinstance(kind, typing.NewType):
        kind = kind.__supertype__
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(typing.cast("type", kind))
        fields = {entry.name: hostile(hints[entry.name]) for entry in dataclasses.fields(kind)}
        return st.fixed_dictionaries(fields)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return st.sampled_from([member.value for member in kind]) | st.just("nonsense")
    generic = _hostile_generic(kind)
    return _SCALARS.get(kind, plain_values()) if generic is None else generic


def one_change(good: Plain, value: st.SearchStrategy[object]) -> st.SearchStrategy[Plain]:
    """Return the good value with one place of it, at any depth, replaced or taken away."""
    return st.tuples(st.sampled_from(_paths(good)), value, st.booleans()).map(
        lambda change: _replaced(good, change[0], change[1], remove=change[2])
    )


def _hostile_generic(kind: Any) -> st.SearchStrategy[Any] | None:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([hostile(choice) for choice in arguments])
    if origin is tuple:
        return st.lists(hostile(arguments[0]), max_size=40)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(hostile(arguments[0]), hostile(arguments[1]), max_size=4)
    return None


_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: INTEGERS,
    float: FLOATS,
    str: TEXTS,
    bytes: st.binary(max_size=80),
    bool: st.booleans(),
    datetime: TIMES,
    type(None): st.none(),
}


def _flipped(whole: bytes, changes: list[tuple[int, int]]) -> bytes:
    damaged = bytearray(whole)
    for place, value in changes:
        damaged[place] = value
    return bytes(damaged)


def _paths(value: Plain) -> list[tuple[str | int, ...]]:
    inner: list[tuple[str | int, Plain]] = []
    if isinstance(value, dict):
        inner = list(value.items())
    if isinstance(value, list):
        inner = list(enumerate(value[:3]))
    return [(key, *rest) for key, child in inner for rest in ((), *_paths(child))]


def _replaced(value: Any, path: tuple[str | int, ...], new: object, *, remove: bool) -> Any:
    key, rest = path[0], path[1:]
    copy: Any = dict(value) if isinstance(value, dict) else list(value)
    if rest:
        copy[key] = _replaced(value[key], rest, new, remove=remove)
    elif remove:
        del copy[key]
    else:
        copy[key] = new
    return copy
