"""The far side: light, and deaf to what is no request."""

from __future__ import annotations

import subprocess
import sys

import pytest

from optimizer.benchmark.exchange import (
    ANSWER_LIMIT_BYTES,
    Answer,
    Request,
    SentArray,
    Task,
    frame,
    measurable,
    received_rows,
    sent_model,
    sent_rows,
    unframe,
)
from optimizer.benchmark.far_side import answer_to
from optimizer.benchmark.timing import Effort
from optimizer.errors import MeasureFailed
from tests.optimizer.benchmark.measurables import EFFORT, ROWS, a_measurable

LIGHT = """
import importlib.abc, sys

ALLOWED = {"numpy", "onnxruntime", "cbor2", "click", "optimizer", "contracts", "device_profiles"}

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in ALLOWED and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"the light install has no {top}", name=top)
        return None

sys.meta_path.insert(0, Refuse())
from optimizer.benchmark.far_side import measure
measure([])
"""


def a_request(task: Task) -> Request:
    """Return a request for two models."""
    group = (a_measurable(seed=1), a_measurable(seed=2))
    return Request(
        task=task,
        models=tuple(sent_model(one) for one in group),
        rows=sent_rows(ROWS, group),
        effort=EFFORT,
        threads=1,
        seed=0,
    )


def asked(program: str, data: bytes) -> Answer:
    """Return the answer of a fresh interpreter that runs the program."""
    done = subprocess.run([sys.executable, "-c", program], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return unframe(Answer, done.stdout, limit_bytes=ANSWER_LIMIT_BYTES)


@pytest.mark.slow
@pytest.mark.parametrize("task", list(Task))
def test_it_measures_with_the_light_install_and_a_runtime_alone(task: Task) -> None:
    answer = asked(LIGHT, frame(a_request(task)))

    assert answer.problem == ""
    assert len(answer.timings) == (2 if task is Task.TIME else 0)
    assert (answer.memory_bytes > 0) is (task is Task.MEMORY)


@pytest.mark.slow
@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n\r\n", frame(a_request(Task.TIME))[:-1]])
def test_what_is_no_request_is_answered_with_the_problem(data: bytes) -> None:
    answer = asked(LIGHT, data)

    assert answer.problem
    assert "core" in answer.machine


@pytest.mark.slow
def test_what_a_runtime_prints_never_reaches_the_answer() -> None:
    chatty = LIGHT.replace("measure([])", "import os; print('hello'); sys.stdout.flush(); measure([])")

    assert asked(chatty, frame(a_request(Task.DESCRIBE))).problem == ""


def test_a_request_is_read_again_as_it_was() -> None:
    request = a_request(Task.TIME)

    assert unframe(Request, frame(request), limit_bytes=1_000_000) == request
    assert measurable(request.models[0]).identity == a_measurable(seed=1).identity
    assert (received_rows(request.rows)["row"] == ROWS["row"]).all()


def test_a_model_that_was_changed_on_the_way_is_refused() -> None:
    import dataclasses

    sent = dataclasses.replace(a_request(Task.TIME).models[0], content=b"another")

    with pytest.raises(MeasureFailed, match="its bytes were changed on the way"):
        measurable(sent)


@pytest.mark.parametrize(
    "array",
    [
        SentArray(dtype="<f4", shape=(3, 12), content=b"short"),
        SentArray(dtype="|O", shape=(1,), content=b"12345678"),
        SentArray(dtype="no type", shape=(1,), content=b"1234"),
    ],
)
def test_rows_that_are_not_what_they_say_are_refused(array: SentArray) -> None:
    with pytest.raises(MeasureFailed, match="rows not understood"):
        received_rows({"row": array})


def test_a_request_over_the_limit_is_refused_by_its_length() -> None:
    data = frame(a_request(Task.TIME))

    with pytest.raises(MeasureFailed, match=r"Request of \d+ bytes is over the limit of 100; send fewer models"):
        unframe(Request, data, limit_bytes=100)


def test_asked_which_machine_it_is_it_measures_nothing() -> None:
    answer = answer_to(Request(task=Task.DESCRIBE, rows={}, effort=Effort(), threads=1, seed=0))

    assert (answer.timings, answer.memory_bytes) == ((), 0)
    assert answer.architecture
