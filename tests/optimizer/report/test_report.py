"""One file that tells the whole search and asks for nothing else."""

from __future__ import annotations

import dataclasses
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from contracts.manifest import ModelFormat
from optimizer.errors import OptimizerError
from optimizer.report import render_report, write_report
from optimizer.report.charts import bars, class_chart, scatter
from optimizer.search.candidate import Failure, Search, Verdict
from tests.optimizer.search.searches import a_search, an_image_dataset, the_winner, with_figures

BOTH = (ModelFormat.ONNX, ModelFormat.TFLITE)
VOID = {"meta", "br"}


def a_varied_search() -> Search:
    """Return a search with a winner, a dominated and an over-budget candidate and a failure."""
    made = a_search(full_int8=True)
    winner = the_winner(made)
    original = made.original_fidelity.value
    candidates = (
        with_figures(
            winner, label="tflite int8", value=original, p50_ms=0.5, verdict=Verdict.WINNER, reason="the smallest"
        ),
        with_figures(
            winner,
            label="onnx int8",
            value=original - 0.01,
            p50_ms=0.6,
            verdict=Verdict.DOMINATED,
            reason="no better <here>",
        ),
        with_figures(winner, label="onnx float", value=original, p50_ms=1.2, verdict=Verdict.FRONT, reason="larger"),
        with_figures(
            winner,
            label="onnx dynamic",
            value=original - 0.2,
            p50_ms=2.9,
            verdict=Verdict.OVER_BUDGET,
            reason="falls by 20",
        ),
    )
    failure = Failure(label="onnx int4", step="quantize-weights", code="pass_failed", cause="nothing to quantize")
    return dataclasses.replace(made, candidates=candidates, failures=(failure,))


def words_of(page: str) -> str:
    """Return the page's text, spaces squeezed."""
    return re.sub(
        r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)))
    )


def test_the_report_gives_the_reason_of_each_candidate_and_failure() -> None:
    search = a_varied_search()

    text = words_of(render_report(search))

    assert [one.reason for one in search.candidates if one.reason not in text] == []
    assert "nothing to quantize" in text


def test_the_report_says_that_the_targets_latency_is_not_known() -> None:
    text = words_of(render_report(a_varied_search()))

    assert "The latency of test-board is not known yet" in text
    assert "latency p50 of one row on this machine" in text
    assert ": not the target" in text


def test_the_report_asks_for_nothing_else() -> None:
    page = render_report(a_varied_search(), dataset=an_image_dataset())

    assert re.findall(r"(?:src|href|action)\s*=|url\(|@import|<script|https?://", page) == []
    assert "default-src 'none'" in page


def test_words_from_outside_are_escaped() -> None:
    page = render_report(a_varied_search())

    assert "no better &lt;here&gt;" in page
    assert "<here>" not in page


def test_every_element_is_closed() -> None:
    page = render_report(a_varied_search(), dataset=an_image_dataset())

    assert unclosed(page) == []


def test_a_table_lies_behind_each_chart() -> None:
    page = render_report(a_varied_search(), dataset=an_image_dataset())

    assert page.count("<svg") == 3
    assert page.count("Show as table") == 3


def test_the_lineage_of_the_winner_is_told_step_by_step() -> None:
    search = a_varied_search()

    text = words_of(render_report(search))

    assert [step.digest for step in the_winner(search).lineage if step.digest not in text] == []
    assert "quantize-tflite" in text


def test_a_search_without_a_winner_says_so() -> None:
    search = a_varied_search()
    losers = tuple(one for one in search.candidates if one.verdict is Verdict.OVER_BUDGET)

    text = words_of(render_report(dataclasses.replace(search, candidates=losers)))

    assert "No candidate holds the budgets for test-board" in text
    assert "falls by 20" in text


def test_a_search_that_made_nothing_still_has_a_report() -> None:
    text = words_of(render_report(dataclasses.replace(a_varied_search(), candidates=())))

    assert "nothing to quantize" in text


def test_the_file_is_written(tmp_path: Path) -> None:
    write_report(a_varied_search(), tmp_path / "report.html")

    assert (tmp_path / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_folder_that_is_missing_is_named_with_the_next_action(tmp_path: Path) -> None:
    with pytest.raises(OptimizerError, match=r"cannot write report .*give a folder"):
        write_report(a_varied_search(), tmp_path / "missing" / "report.html")


def test_bubbles_grow_upwards_with_accuracy_and_to_the_right_with_latency() -> None:
    chart = scatter(a_varied_search())
    marks = {bubble.kind: bubble.mark for bubble in chart.bubbles}

    assert marks["winner"].x < marks["front"].x < marks["over_budget"].x
    assert marks["winner"].y < marks["over_budget"].y
    assert chart.region is not None
    assert marks["winner"].y < chart.region.bottom < marks["over_budget"].y


def test_the_front_joins_only_what_holds_the_budgets() -> None:
    search = a_varied_search()

    assert scatter(search).front == ""


def test_a_size_budget_inside_the_chart_is_a_line() -> None:
    search = a_varied_search()
    budget = dataclasses.replace(search.budget, max_size_bytes=search.original.size_bytes)

    limit = bars(dataclasses.replace(search, budget=budget)).limit

    assert limit is not None
    assert limit.text.startswith("budget")


def test_accuracy_by_class_compares_original_and_winner() -> None:
    truth = np.asarray([0, 0, 1, 1])

    chart = class_chart(("ash", "birch"), truth, original=np.asarray([0, 0, 1, 1]), winner=np.asarray([0, 1, 1, 1]))

    assert [(row.name, row.n, row.original, row.winner) for row in chart.rows] == [
        ("ash", 2, 1.0, 0.5),
        ("birch", 2, 1.0, 1.0),
    ]


def test_classes_that_do_not_fit_are_counted() -> None:
    truth = np.arange(40)
    wrong = truth.copy()
    wrong[30] = 0

    chart = class_chart((), truth, original=truth, winner=wrong)

    assert chart.left_out == 16
    assert "30" in [row.name for row in chart.rows]


def unclosed(page: str) -> list[str]:
    """Return the elements that are left open or closed out of order."""

    class Reader(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.odd: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            del attrs
            self.open += [] if tag in VOID else [tag]

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            self.odd += [] if self.open and self.open[-1] == tag else [tag]
            self.open = self.open[:-1]

    reader = Reader()
    reader.feed(page)
    return [*reader.open, *reader.odd]
