"""The demo speaks plainly and stops at a claim that does not hold."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgeship.demo.errors import StepFailed
from edgeship.demo.narration import Narrator, bar, wait_until


def a_narrator() -> tuple[Narrator, io.StringIO]:
    """Return a narrator and what it said."""
    said = io.StringIO()
    return Narrator(console=Console(file=said, width=100, no_color=True)), said


def test_a_claim_that_holds_is_counted_and_ticked() -> None:
    speaker, said = a_narrator()

    speaker.claim(True, "water is wet")

    assert speaker.claims == 1
    assert "✓ water is wet" in said.getvalue()


def test_a_claim_that_does_not_hold_stops_the_demo_with_its_words() -> None:
    speaker, said = a_narrator()

    with pytest.raises(StepFailed, match="this did not hold: 2 of 3 devices are healthy"):
        speaker.claim(False, "2 of 3 devices are healthy")

    assert "✕ 2 of 3 devices are healthy" in said.getvalue()


def test_figures_stand_to_the_right_and_words_to_the_left() -> None:
    speaker, said = a_narrator()

    speaker.table(("name", "kB"), [("small", "7"), ("large", "1200")])

    lines = [line.rstrip() for line in said.getvalue().splitlines()]
    assert lines[1].endswith("small     7")
    assert lines[2].endswith("large  1200")


@pytest.mark.parametrize(("done", "drawn"), [(0, "░░░░"), (1, "█░░░"), (4, "████")])
def test_a_bar_fills_with_the_share(done: int, drawn: str) -> None:
    assert bar(done, 4, width=4) == drawn


def test_waiting_ends_with_the_answer_or_the_patience() -> None:
    answers = iter([False, False, True])

    assert wait_until(lambda: next(answers), patience_s=5, pause_s=0)
    assert not wait_until(lambda: False, patience_s=0, pause_s=0)
