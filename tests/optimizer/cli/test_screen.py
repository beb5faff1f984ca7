"""What shows how far the work is."""

from __future__ import annotations

import io

import pytest

from optimizer.cli.screen import in_steps, lines_of, progress, said_once
from optimizer.formats.quiet import quiet


def test_elsewhere_than_on_a_terminal_each_tenth_of_the_work_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress() as tell:
        tell("opening", 0.0)
        tell("float", 0.25)
        tell("int8", 0.29)
        tell("done", 1.0)

    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [" 25%  float", "100%  done"]


def test_what_is_told_while_libraries_are_kept_quiet_reaches_the_error_stream(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with progress() as tell, quiet():
        tell("epoch 3 of 10", 0.3)

    assert capfd.readouterr().err == " 30%  epoch 3 of 10\n"


def test_long_work_within_one_tenth_is_told_each_minute() -> None:
    stream, seconds = io.StringIO(), iter([0.0, 10.0, 70.0, 70.0])
    tell = lines_of(stream, clock=lambda: next(seconds))

    tell("epoch 1 of 10", 0.01)
    tell("epoch 2 of 10", 0.02)

    assert stream.getvalue() == "  2%  epoch 2 of 10\n"


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
