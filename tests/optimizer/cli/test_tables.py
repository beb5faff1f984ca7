"""The table of a search on terminals of several widths: words wrap, nothing is cut."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from optimizer.cli.tables import print_search
from optimizer.search.candidate import Search, Verdict
from tests.optimizer.search.searches import a_search, the_winner, with_figures

_LABELS = ("onnx float", "onnx int8 static u8s8", "onnx int8 static s8s8", "onnx int8 dynamic", "tflite int8")


def _crowded() -> Search:
    """Return a search with the longest labels and a candidate of every verdict."""
    search = a_search()
    winner = the_winner(search)
    judged = zip(_LABELS, Verdict, strict=True)
    return dataclasses.replace(
        search,
        candidates=tuple(
            with_figures(winner, label=label, value=0.9, p50_ms=12.5, verdict=verdict) for label, verdict in judged
        ),
    )


def _printed(search: Search, columns: int) -> str:
    out = io.StringIO()
    print_search(search, Console(file=out, width=columns))
    return out.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 100, 120])
def test_no_heading_verdict_or_label_is_cut_at_any_width(columns: int) -> None:
    table = _printed(_crowded(), columns).partition("95 % intervals")[0]

    assert "…" not in table
    assert max(map(len, table.splitlines())) <= columns
    assert {"candidate", "size", "accuracy", "points", "p50", "memory", "verdict"} <= set(table.split())
    assert {"winner", "holds", "budgets", "dominated", "over", "budget", "unfit"} <= set(table.split())


@pytest.mark.slow
def test_at_100_columns_each_candidate_has_one_line_with_its_verdict() -> None:
    lines = _printed(_crowded(), 100).splitlines()

    assert any(
        line.startswith("onnx int8 static u8s8") and line.rstrip().endswith("holds the budgets") for line in lines
    )


@pytest.mark.slow
def test_intervals_stand_under_the_table_with_the_number_of_rows() -> None:
    shown = _printed(_crowded(), 100)

    assert "95 % intervals of the drop, points, n=120: onnx float " in shown
