"""``edgeship measure``: the far side of a measuring command. One request on stdin, one answer on stdout.

It needs the light install and the runtime of the models' format, nothing else of the optimizer's. What a runtime prints
goes to stderr: stdout is the answer's alone.
"""

from __future__ import annotations

import os
import sys
from typing import IO, Final

import click

from device_profiles.host import host_architecture
from optimizer.benchmark.exchange import (
    REQUEST_LIMIT_BYTES,
    Answer,
    Request,
    SentTiming,
    Task,
    frame,
    measurable,
    received_rows,
    unframe,
)
from optimizer.benchmark.machine import machine_in_words, runtimes_in_words
from optimizer.benchmark.runner import HostRunner
from optimizer.errors import LibraryMissing, OptimizerError

_SLACK_BYTES: Final = 64 * 1024
"""For what may stand before a request."""


@click.command()
def measure() -> None:
    """Answer one measuring request on stdin; for --runner 'ssh THIS-MACHINE' on the other side."""
    answers = _stdout_to_ourselves()
    try:
        request = unframe(Request, _everything(sys.stdin.buffer), limit_bytes=REQUEST_LIMIT_BYTES)
        answer = answer_to(request)
    except OptimizerError as error:
        answer = _answer(problem=_advised(error))
    with os.fdopen(answers, "wb") as out:
        out.write(frame(answer))


def answer_to(request: Request) -> Answer:
    """Return the figures that were asked for.

    Raises:
        MeasureFailed: the request is not understood, or a model does not run here.
    """
    models = [measurable(sent) for sent in request.models]
    runner = HostRunner(seed=request.seed, told=_say)
    if request.task is Task.TIME:
        timings = runner.time(models, received_rows(request.rows), effort=request.effort, threads=request.threads)
        return _answer(timings=tuple(SentTiming(samples_ms=taken.samples_ms, warmup=taken.warmup) for taken in timings))
    if request.task is Task.MEMORY:
        return _answer(memory_bytes=runner.memory(models[0], threads=request.threads))
    return _answer()


def _answer(*, timings: tuple[SentTiming, ...] = (), memory_bytes: int = 0, problem: str = "") -> Answer:
    return Answer(
        machine=machine_in_words(),
        architecture=host_architecture(),
        runtimes=runtimes_in_words(),
        timings=timings,
        memory_bytes=memory_bytes,
        problem=problem,
    )


def _advised(error: OptimizerError) -> str:
    """Return the error's line; a missing runtime is named with its light install."""
    cause = error if isinstance(error, LibraryMissing) else error.__cause__
    if not isinstance(cause, LibraryMissing):
        return str(error)
    extra = "onnxruntime" if cause.package == "onnxruntime" else "tflite"
    return f"{cause.package} is not installed there: run pip install 'edgeship[{extra}]' on that machine"


def _everything(stream: IO[bytes]) -> bytes:
    """Return what is sent, up to the limit; memory is taken as it comes."""
    data = bytearray()
    while len(data) <= REQUEST_LIMIT_BYTES + _SLACK_BYTES:
        piece = stream.read(1 << 20)
        if not piece:
            break
        data += piece
    return bytes(data)


def _stdout_to_ourselves() -> int:
    """Return a descriptor of stdout for the answer alone; whatever else is printed goes to stderr from now on."""
    ours = os.dup(1)
    os.dup2(2, 1)
    return ours


def _say(what: str) -> None:
    click.echo(what, err=True)


if __name__ == "__main__":
    measure()
