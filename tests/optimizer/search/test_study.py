"""The account of a search: attempts are taken once, finished ones stay, those of the dead are taken again."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from optimizer.errors import OptimizerError
from optimizer.search.study import GRACE_S, Plain, Study

pytestmark = pytest.mark.slow

_VALUES = (0.0, 100.0, 1.0)


def _storage(folder: Path) -> str:
    return f"sqlite:///{folder / 'study.db'}"


def test_each_attempt_is_taken_by_one_worker(tmp_path: Path) -> None:
    one, other = (Study("s", storage=_storage(tmp_path)) for _ in range(2))
    one.enqueue(["a", "b"])
    other.enqueue(["a", "b"])

    taken = [one.claim(["a", "b"]), other.claim(["a", "b"]), one.claim(["a", "b"]), other.claim(["a", "b"])]

    assert [claim.key for claim in taken if claim is not None] == ["a", "b"]
    assert taken[2:] == [None, None]


def test_what_was_finished_is_known_to_all_and_not_taken_again(tmp_path: Path) -> None:
    one, other = (Study("s", storage=_storage(tmp_path)) for _ in range(2))
    one.enqueue(["a"])
    claim = one.claim(["a"])
    assert claim is not None

    one.finish(claim, {"size": 3}, values=_VALUES)

    assert other.outcomes() == {"a": {"size": 3}}
    other.enqueue(["a"])
    assert other.claim(["a"]) is None


def test_a_failure_is_kept_without_values() -> None:
    study = Study("s")
    study.enqueue(["a"])
    claim = study.claim(["a"])
    assert claim is not None

    study.finish(claim, {"failure": "no layer"}, values=None)

    assert study.outcomes() == {"a": {"failure": "no layer"}}


def test_attempts_put_in_the_queue_by_two_workers_at_once_run_once(tmp_path: Path) -> None:
    one, other = (Study("s", storage=_storage(tmp_path)) for _ in range(2))
    one._study.enqueue_trial({}, user_attrs={"attempt": "a"})
    other._study.enqueue_trial({}, user_attrs={"attempt": "a"})

    taken = [one.claim(["a"]), other.claim(["a"]), one.claim(["a"])]

    assert [claim is not None for claim in taken] == [True, False, False]


def test_only_the_attempts_asked_for_are_taken() -> None:
    study = Study("s")
    study.enqueue(["a", "b"])

    claim = study.claim(["b"])

    assert claim is not None
    assert claim.key == "b"


def test_what_a_killed_worker_had_taken_is_taken_again(tmp_path: Path) -> None:
    study = Study("s", storage=_storage(tmp_path))
    study.enqueue(["a", "b"])
    program = (
        "import os, signal, sys; from optimizer.search.study import Study;"
        "claim = Study('s', storage=sys.argv[1]).claim(['a']); assert claim;"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )

    died = subprocess.run([sys.executable, "-c", program, _storage(tmp_path)], check=False)
    taken = [study.claim(["a", "b"]), study.claim(["a", "b"]), study.claim(["a", "b"])]

    assert died.returncode == -9
    assert sorted(claim.key for claim in taken if claim is not None) == ["a", "b"]


def test_a_worker_elsewhere_is_given_time_before_its_attempt_is_taken_again(tmp_path: Path) -> None:
    now = [1000.0]
    elsewhere = Study("s", storage=_storage(tmp_path), clock=lambda: now[0])
    elsewhere._worker = "another-machine:1:1"
    elsewhere.enqueue(["a"])
    here = Study("s", storage=_storage(tmp_path), clock=lambda: now[0])
    first = elsewhere.claim(["a"])

    now[0] += GRACE_S - 1
    early = here.claim(["a"])
    now[0] += 2
    late = here.claim(["a"])

    assert first is not None
    assert early is None
    assert late is not None


def test_a_worker_whose_attempt_was_taken_over_does_not_overwrite_it(tmp_path: Path) -> None:
    now = [1000.0]
    slow = Study("s", storage=_storage(tmp_path), clock=lambda: now[0])
    slow._worker = "another-machine:1:1"
    slow.enqueue(["a"])
    lost = slow.claim(["a"])
    now[0] += GRACE_S + 1
    here = Study("s", storage=_storage(tmp_path), clock=lambda: now[0])
    taken = here.claim(["a"])
    assert lost is not None
    assert taken is not None
    here.finish(taken, {"by": "here"}, values=_VALUES)

    slow.finish(lost, {"by": "slow"}, values=_VALUES)

    assert here.outcomes() == {"a": {"by": "here"}}


def test_what_is_shared_is_made_once(tmp_path: Path) -> None:
    one, other = (Study("s", storage=_storage(tmp_path)) for _ in range(2))

    first = one.shared("profile", lambda: {"made": "first"})
    second = other.shared("profile", lambda: {"made": "second"})

    assert first == second == {"made": "first"}


def test_what_two_workers_want_at_once_is_made_by_one_of_them(tmp_path: Path) -> None:
    one, other = (Study("s", storage=_storage(tmp_path)) for _ in range(2))
    asked: list[Future[Plain]] = []

    def make() -> Plain:
        asked.append(workers.submit(other.shared, "finals", lambda: {"made": "by the other"}))
        wait(asked, timeout=1.0)  # as long as the other needs to make its own
        return {"made": "by one"}

    with ThreadPoolExecutor() as workers:
        held = one.shared("finals", make)

    assert [held, asked[0].result()] == [{"made": "by one"}] * 2


@pytest.mark.parametrize("storage", ["nonsense", "mysql://u:secret@h/x", "sqlite:////no/such/folder/x.db"])
def test_a_storage_that_cannot_be_opened_is_one_line_without_its_password(storage: str) -> None:
    with pytest.raises(OptimizerError) as caught:
        Study("s", storage=storage)

    assert "cannot open the storage" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("written", ["nonsense", "[1, 2]", "{}", "[" * 100_000, 17, None])
def test_an_attempt_of_which_another_worker_wrote_nonsense_is_tried_again(tmp_path: Path, written: object) -> None:
    one, other = (Study("s", storage=_storage(tmp_path)) for _ in range(2))
    one.enqueue(["a"])
    trial = one._study.ask()
    trial.set_user_attr("outcome", written)
    one._study.tell(trial, _VALUES)

    assert other.outcomes() == {}
    claim = other.claim(["a"])
    assert claim is not None
    other.finish(claim, {"size": 3}, values=_VALUES)

    assert one.outcomes() == {"a": {"size": 3}}


@pytest.mark.parametrize("seen_at", ["soon", None, 1e12])
def test_a_worker_elsewhere_whose_sign_of_life_is_none_is_dead(seen_at: object) -> None:
    study = Study("s", clock=lambda: 1_000_000.0)
    study.enqueue(["a"])
    trial = study._study.ask()
    trial.set_user_attr("worker", "elsewhere")
    trial.set_user_attr("seen_at", seen_at)

    assert study.claim(["a"]) is not None


def test_a_storage_that_can_no_longer_be_written_is_one_line(tmp_path: Path) -> None:
    study = Study("s", storage=_storage(tmp_path))
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("create trigger full before insert on trials begin select raise(abort, 'disk is full'); end")

    with pytest.raises(OptimizerError, match=r"cannot be read or written \(.*disk is full.*\); free some room"):
        study.enqueue(["a"])
