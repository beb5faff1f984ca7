"""What shows how far the work is."""

from __future__ import annotations

import pytest

from optimizer.cli.screen import in_steps, progress, said_once


def test_elsewhere_than_on_a_terminal_each_tenth_of_the_work_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as tell:
        tell("opening", 0.0)
        tell("float", 0.25)
        tell("int8", 0.29)
        tell("done", 1.0)

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [" 25%  float", "100%  done"]


def test_steps_have_equal_shares_and_the_rows_of_one_move_within_it() -> None:
    told: list[tuple[str, float]] = []
    begin, within = in_steps(lambda what, share: told.append((what, round(share, 3))), 4)

    begin("simplify")
    begin("quantize")
    within("64 of 128 rows", 0.5)

    assert told == [("simplify", 0.0), ("quantize", 0.25), ("quantize: 64 of 128 rows", 0.375)]


def test_a_sentence_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    tell = said_once()

    tell("waiting")
    tell("waiting")

    assert capsys.readouterr().err == "note: waiting\n"
