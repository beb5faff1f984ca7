"""The table of a search on terminals of several widths: words wrap, nothing is cut."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from optimizer.cli.tables import print_search, print_searches
from optimizer.search.candidate import Failure, Search, Verdict
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


def _table(printed: str) -> list[str]:
    """Return the lines of the table, above the reasons."""
    return printed.partition("onnx float: a reason")[0].splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 100, 120, 160])
def test_no_heading_verdict_or_label_is_cut_at_any_width(columns: int) -> None:
    table = _table(_printed(_crowded(), columns))

    assert "…" not in "\n".join(table)
    assert max(map(len, table)) <= columns
    words = set(" ".join(table).split())
    assert {"candidate", "size", "accuracy", "points", "p50", "orig.", "verdict"} <= words
    assert {"winner", "holds", "budgets", "dominated", "over", "budget", "unfit"} <= words


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "more"), [(80, set()), (100, {"memory"}), (120, {"memory", "p95"})])
def test_memory_and_p95_come_with_the_room_for_them_and_the_ratio_always(columns: int, more: set[str]) -> None:
    lines = _printed(_crowded(), columns).splitlines()

    headings = set(next(line for line in lines if " p50 " in line).split())

    assert headings & {"memory", "p95"} == more
    assert {"p50", "orig."} <= headings


@pytest.mark.slow
def test_the_winner_comes_first_and_each_candidate_has_one_line_at_100_columns() -> None:
    lines = [line.rstrip() for line in _printed(_crowded(), 100).splitlines()]

    assert lines[4].startswith("onnx float")
    assert lines[4].endswith("winner")
    assert any(line.startswith("onnx int8 static u8s8") and line.endswith("holds the budgets") for line in lines)


@pytest.mark.slow
def test_the_winners_reason_and_interval_stand_under_the_table_with_what_missed_a_budget() -> None:
    shown = _printed(_crowded(), 100)

    assert "onnx float: a reason\n  drop " in shown
    assert "points, 95 % interval " in shown
    assert ", on 120 rows" in shown
    assert "onnx int8 dynamic: a reason" in shown
    assert "onnx int8 static u8s8: a reason" not in shown
    assert "recipe compare FOLDER --reasons" in shown


@pytest.mark.slow
def test_the_reasons_of_all_are_told_where_they_are_asked_for() -> None:
    out = io.StringIO()

    print_search(_crowded(), Console(file=out, width=160), reasons=True)

    assert all(f"{label}: a reason" in out.getvalue() for label in _LABELS)


@pytest.mark.slow
def test_an_attempt_that_failed_is_told_with_its_cause_and_one_that_repeats_a_file_only_where_asked_for() -> None:
    failed = Failure(label="onnx int8 dynamic", step="quantize-dynamic", code="pass_failed", cause="0 layers quantized")
    same = Failure(label="saved", step="compare", code="same_file", cause="the same file as onnx float")

    shown = _printed(dataclasses.replace(_crowded(), failures=(failed, same)), 100)

    assert "onnx int8 dynamic: left out, 0 layers quantized" in shown
    assert "the same file" not in shown


@pytest.mark.slow
def test_the_title_says_whose_latency_it_is_and_the_foot_how_it_was_taken() -> None:
    shown = _printed(_crowded(), 160)

    assert "for test-board: latency and memory on this machine, not on the target" in shown
    assert "Latency of one row, 1 thread, n = 30 after 3 to warm up, in turn with the original, on " in shown


@pytest.mark.slow
@pytest.mark.parametrize("columns", [80, 120])
def test_several_searches_have_a_line_each_for_their_winner(columns: int) -> None:
    out, found = io.StringIO(), _crowded()
    nothing = dataclasses.replace(found, candidates=())

    print_searches({"pi": found, "board": nothing}, Console(file=out, width=columns))

    lines = out.getvalue().splitlines()
    assert any(line.startswith("pi ") and "onnx float" in line for line in lines)
    assert any(line.startswith("board ") and "none holds the" in line for line in lines)
    assert any(line.startswith("board: scans for test-board. Latency of one row") for line in lines)
