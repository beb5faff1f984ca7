from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.conversion.answers import Compared
from benchmarks.conversion.bars import bars_of, worst
from benchmarks.conversion.converters import LITERT_TORCH, OURS, UNROLLED, Converted
from benchmarks.conversion.files import Layout
from benchmarks.conversion.outcome import Outcome, table_of
from benchmarks.conversion.timing import AGAIN
from benchmarks.harness import Bar

PLAIN = (Layout(tensor="x", order=(0, 1)),)
TURNED = (Layout(tensor="y", order=(0, 2, 3, 1)),)


def a_side(*, error: float = 1e-7, repeats: bool = True, outputs: tuple[Layout, ...] = PLAIN) -> Compared:
    return Compared(worst={"real": error, "random": error / 2}, inputs=PLAIN, outputs=outputs, repeats=repeats)


def an_outcome(name: str = "cnn", **changes: object) -> Outcome:
    """A model on which we are as good as the one peer."""
    given: dict[str, object] = {
        "converted": {
            side: Converted(name=side, path=Path("out.tflite"), seconds=1.0) for side in (OURS, LITERT_TORCH)
        },
        "operators": {OURS: Counter(CONV_2D=4), LITERT_TORCH: Counter(CONV_2D=4, TRANSPOSE=1)},
        "sizes": {OURS: 1000, LITERT_TORCH: 1100},
        "compared": {OURS: a_side(), LITERT_TORCH: a_side()},
        "broken": {},
        "timings": [{OURS: 1.0 + turn / 1000, AGAIN: 1.0, LITERT_TORCH: 1.0} for turn in range(7)],
        "conversions": {OURS: [0.5, 0.5, 0.6], LITERT_TORCH: [8.0, 8.2]},
        **changes,
    }
    return Outcome(name=name, **given)  # type: ignore[arg-type] # the defaults are of the right types


def bar(outcomes: list[Outcome], words: str) -> Bar:
    """Return the bar whose name has the words."""
    (found,) = [one for one in bars_of(outcomes, asked=len(outcomes), seed=7) if words in one.name]
    return found


def test_every_bar_holds_where_we_are_as_good() -> None:
    found = {one.name: one.verdict for one in bars_of([an_outcome()], asked=1, seed=7) if "GRU" not in one.name}

    assert {name for name, verdict in found.items() if verdict != "held"} == {"operators of the LSTM"}


def test_a_bar_with_nothing_to_compare_does_not_hold() -> None:
    assert not worst("operators", {}, limit=1).holds


def test_a_model_that_does_not_load_is_a_miss_by_name() -> None:
    found = bar([an_outcome(), an_outcome("gone", compared={LITERT_TORCH: a_side()})], "do not load")

    assert (found.verdict, found.value) == ("missed", 1.0)
    assert "gone" in found.note


def test_one_operator_more_than_the_best_peer_is_a_miss() -> None:
    more = {OURS: Counter(CONV_2D=6), LITERT_TORCH: Counter(CONV_2D=5)}

    found = bar([an_outcome(operators=more)], "operators, over")

    assert found.verdict == "missed"
    assert found.value == pytest.approx(1.2)


def test_a_peer_with_wrong_answers_is_not_compared_with() -> None:
    sides = {OURS: a_side(), LITERT_TORCH: a_side(error=0.5)}

    found = bar(
        [an_outcome(compared=sides, operators={OURS: Counter(ADD=9), LITERT_TORCH: Counter()})], "over the best"
    )

    assert found.verdict == "not resolved"


def test_an_output_that_lies_otherwise_counts_as_a_transpose() -> None:
    sides = {OURS: a_side(), LITERT_TORCH: a_side(outputs=TURNED)}
    operators = {OURS: Counter(TRANSPOSE=1), LITERT_TORCH: Counter(ADD=1)}

    found = bar([an_outcome(compared=sides, operators=operators)], "transposes")

    assert found.verdict == "held"


def test_an_error_above_the_tolerance_is_a_miss() -> None:
    found = bar([an_outcome(compared={OURS: a_side(error=2e-5)})], "largest error")

    assert found.verdict == "missed"


def test_an_answer_that_changes_when_asked_again_is_a_miss() -> None:
    found = bar([an_outcome(compared={OURS: a_side(repeats=False)})], "repeat")

    assert found.verdict == "missed"


def test_the_faster_of_two_forms_is_what_is_judged() -> None:
    timings = [{OURS: 1.4, AGAIN: 1.4, UNROLLED: 0.9, LITERT_TORCH: 1.0}] * 7
    sides = {OURS: a_side(), UNROLLED: a_side(), LITERT_TORCH: a_side()}

    found = bar([an_outcome(compared=sides, timings=timings)], "cnn: latency")

    assert found.value == pytest.approx(0.9)
    assert found.verdict == "held"
    assert UNROLLED in found.name


def test_a_slower_file_misses_its_latency_bar() -> None:
    timings = [{OURS: 1.3, AGAIN: 1.3, LITERT_TORCH: 1.0}] * 7

    found = bar([an_outcome(timings=timings)], "cnn: latency")

    assert found.verdict == "missed"


def test_conversion_is_judged_by_the_slowest_model() -> None:
    slow = an_outcome("slow", conversions={OURS: [2.0], LITERT_TORCH: [8.0]})

    found = bar([an_outcome(), slow], "conversion")

    assert (found.verdict, found.value) == ("missed", 0.25)
    assert "slow" in found.note


def test_the_lstm_may_have_five_operators() -> None:
    found = bar([an_outcome("lstm", operators={OURS: Counter(ADD=6), LITERT_TORCH: Counter(ADD=500)})], "LSTM")

    assert (found.verdict, found.value) == ("missed", 6.0)


def test_a_peers_failure_is_a_line_of_the_table() -> None:
    failed = Converted(name=LITERT_TORCH, path=None, seconds=3.0, error="fails: ValueError: no such thing")
    converted = {OURS: an_outcome().converted[OURS], LITERT_TORCH: failed}

    rows = table_of(an_outcome(converted=converted, compared={OURS: a_side()}))

    assert rows[2][0] == LITERT_TORCH
    assert rows[2][-1] == "fails: ValueError: no such thing"
