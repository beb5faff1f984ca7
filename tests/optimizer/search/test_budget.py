"""Budgets as people type them."""

from __future__ import annotations

import pytest

from optimizer.errors import BudgetError
from optimizer.search.budget import parse_latency_ms, parse_share, parse_size


@pytest.mark.parametrize(
    ("text", "count"), [("200KB", 200_000), ("1.5 MB", 1_500_000), ("64MiB", 67_108_864), ("7B", 7)]
)
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(("text", "milliseconds"), [("20ms", 20.0), ("500us", 0.5), ("1s", 1000.0), ("3", 3.0)])
def test_latencies(text: str, milliseconds: float) -> None:
    assert parse_latency_ms(text) == pytest.approx(milliseconds)


@pytest.mark.parametrize(
    ("text", "share"), [("1pp", 0.01), ("0.5pp", 0.005), ("2%", 0.02), ("0.01", 0.01), ("0pp", 0.0)]
)
def test_shares(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "pp", "one", "-1pp", "1kg", "100pp", "2"])
def test_a_share_that_is_none_is_refused_with_its_form(text: str) -> None:
    with pytest.raises(BudgetError, match="1pp"):
        parse_share(text)


@pytest.mark.parametrize("text", ["0", "200", "0KB", "12ms", "-4MB", "1e6"])
def test_a_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BudgetError, match=r"size|above zero"):
        parse_size(text)
