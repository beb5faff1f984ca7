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
from optimizer.benchmark.operators import OperatorProfile, OperatorTime
from optimizer.data.dataset import Dataset
from optimizer.errors import OptimizerError
from optimizer.metrics.fidelity import compare
from optimizer.metrics.quantities import Rmse
from optimizer.metrics.sensitivity import LayerSensitivity
from optimizer.model import Format, Model
from optimizer.report import render_report, write_report
from optimizer.report.changed import changed
from optimizer.report.charts import bars, scatter
from optimizer.report.page import headline
from optimizer.search.candidate import Failure, Search, Verdict
from optimizer.served import serve
from tests.optimizer.formats.onnx_graphs import graph, node, weights
from tests.optimizer.search.searches import SCALE, a_search, an_image_dataset, the_winner, with_figures

BOTH = (ModelFormat.ONNX, ModelFormat.TFLITE)
VOID = {"meta", "br", "img"}


LAYERS = (
    LayerSensitivity(layer="good/layer", error=0.001, n=64),
    LayerSensitivity(layer="worst/layer", error=0.2, n=64),
)
A_PROFILE = OperatorProfile(
    operators=(
        OperatorTime(name="a", operator="Conv", p50_us=30.0, told_us=31.0, share=0.75),
        OperatorTime(name="b", operator="Relu", p50_us=10.0, told_us=10.0, share=0.25),
    ),
    wall_p50_us=40.0,
    told_us=41.0,
    runs=50,
    threads=1,
    machine="a machine",
)


def a_search_of_quantities() -> tuple[Search, Dataset]:
    """Return a search whose winner is judged by RMSE, and its data."""
    made, data = a_search(full_int8=True), an_image_dataset()
    winner = the_winner(made)
    reference = serve(made.original, made.original, SCALE).infer(data.holdout)["scores"]
    answers = serve(winner.model, made.original, SCALE).infer(data.holdout)["scores"]
    targets = reference + np.random.default_rng(1).normal(size=reference.shape).astype(np.float32)
    fidelity = compare({"scores": answers}, {"scores": reference}, targets, Rmse())
    own = compare({"scores": reference}, {"scores": reference}, targets, Rmse())
    search = dataclasses.replace(
        made, original_fidelity=own, candidates=(dataclasses.replace(winner, fidelity=fidelity),), notes=()
    )
    return search, dataclasses.replace(data, label=targets)


def a_search_whose_winner_errs() -> Search:
    """Return a search whose winner is a network with other weights."""
    made = a_search(full_int8=True)
    winner = the_winner(made)
    parts = (node("Flatten", "image", "f"), node("Gemm", "f v", "scores"))
    content = graph(*parts, inputs={"image": (1, 1, 8, 8)}, constants={"v": weights(64, 3)}, outputs="scores")
    other = Model.from_bytes(Format.ONNX, content, name="scans")
    erring = dataclasses.replace(winner, product=dataclasses.replace(winner.product, model=other), preprocessing=SCALE)
    return dataclasses.replace(made, candidates=(erring,))


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

    assert (
        re.findall(r"src=\"(?!data:image/png;base64,)|(?:href|action)\s*=|url\(|@import|<script|https?://", page) == []
    )
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


def test_the_headline_tells_latency_beside_the_original_and_that_a_slower_winner_was_forced() -> None:
    search = a_varied_search()
    winner = the_winner(search)
    slower = dataclasses.replace(
        winner, latency=dataclasses.replace(winner.latency, samples_ms=tuple(2 * ms for ms in winner.beside.samples_ms))
    )

    told = headline(dataclasses.replace(search, candidates=(slower,)))

    assert "takes 2.00 times the original's latency on this machine; another budget or the objective forced it" in told


def test_a_winner_that_is_the_given_file_reads_same_file() -> None:
    search = a_varied_search()
    winner = the_winner(search)
    same = dataclasses.replace(winner, product=dataclasses.replace(winner.product, model=search.original))

    text = words_of(render_report(dataclasses.replace(search, candidates=(same,))))

    assert "It is the same file as the original." in text
    assert "same file as the original" in text


def test_rows_whose_class_changed_are_shown_as_they_looked_with_their_label() -> None:
    search = a_search_whose_winner_errs()
    page = render_report(search, dataset=an_image_dataset())
    found = changed(search, an_image_dataset())

    assert found is not None
    assert page.count("data:image/png;base64,") == len(found.examples) > 0
    assert f"row {found.examples[0].place}, label {found.examples[0].label}" in words_of(page)
    assert found.summary.startswith(f"{sum(count for _, _, count in found.moves)} of 120 holdout rows changed")


def test_quantities_show_errors_by_size_of_the_target_and_what_moved_most() -> None:
    search, data = a_search_of_quantities()

    text = words_of(render_report(search, dataset=data))

    assert "Error by size of the target" in text
    assert "Rows whose answer moved most" in text
    assert "RMSE at most" in text
    assert "Rise, % (95 %)" in text


def test_layers_and_operators_are_shown_where_they_were_measured() -> None:
    search = dataclasses.replace(a_varied_search(), sensitivity=LAYERS, profiles={"as given": A_PROFILE})

    page = render_report(search)
    text = words_of(page)

    assert "How much each layer matters" in text
    assert "Where the time goes" in text
    assert text.index("worst/layer") < text.index("good/layer")
    assert unclosed(page) == []


def test_what_cannot_be_profiled_says_why() -> None:
    profile = dataclasses.replace(A_PROFILE, operators=(), unavailable="a TFLite file tells no operators")

    text = words_of(render_report(dataclasses.replace(a_varied_search(), profiles={"tflite int8": profile})))

    assert "Where the time of tflite int8 goes a TFLite file tells no operators" in text


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


def test_a_candidate_far_off_is_drawn_at_the_edge_and_says_so() -> None:
    search = a_varied_search()
    slow = dataclasses.replace(
        search.candidates[-1], latency=dataclasses.replace(search.candidates[-1].latency, samples_ms=(900.0,) * 5)
    )

    chart = scatter(dataclasses.replace(search, candidates=(*search.candidates[:-1], slow)))

    assert chart.bubbles[-1].label is not None
    assert chart.bubbles[-1].label.text.endswith("off the scale")
    assert "900.0 ms" in chart.bubbles[-1].title
    assert float(chart.x_ticks[-1].text) < 100


def test_of_many_candidates_only_those_that_the_choice_was_between_are_named() -> None:
    search = a_varied_search()
    others = tuple(
        with_figures(search.candidates[1], label=f"other {place}", value=0.9, p50_ms=1, verdict=Verdict.DOMINATED)
        for place in range(9)
    )

    chart = scatter(dataclasses.replace(search, candidates=(*search.candidates, *others)))

    assert [bubble.kind for bubble in chart.bubbles if bubble.label] == ["original", "winner", "front"]


def test_a_size_budget_inside_the_chart_is_a_line() -> None:
    search = a_varied_search()
    budget = dataclasses.replace(search.budget, max_size_bytes=search.original.size_bytes)

    limit = bars(dataclasses.replace(search, budget=budget)).limit

    assert limit is not None
    assert limit.text.startswith("budget")


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
