"""A command on another machine measures: ``--runner 'ssh pi'`` runs ``ssh pi edgeship measure``.

One process for each figure; its stdin is the request, its stdout the answer, its stderr for people. Nothing is kept on
the far side.
"""

from __future__ import annotations

import shlex
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import IO, TYPE_CHECKING

from contracts.manifest import TakenOn
from optimizer.benchmark.exchange import (
    ANSWER_LIMIT_BYTES,
    Answer,
    Request,
    SentArray,
    Task,
    frame,
    sent_model,
    sent_rows,
    unframe,
)
from optimizer.benchmark.runner import Measurable
from optimizer.benchmark.timing import Effort, Timing
from optimizer.errors import MeasureFailed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from optimizer.benchmark.operators import OperatorProfile
    from optimizer.model import Model

_WORDS = ("edgeship", "measure")
_NOT_FOUND = 127
_SIDE_TIME_S = 120.0
"""For the connection, the bytes on the way, loading the models and waiting for another measurement there."""


class CommandRunner:
    """Whatever ``edgeship measure`` behind the command measures on.

    Its figures are the target's: the command leads to the device that the models are for. Where it does not (a
    machine of another kind), give ``taken_on=TakenOn.HOST``; ``architecture`` tells.
    """

    def __init__(
        self, command: str, *, taken_on: TakenOn = TakenOn.TARGET, seed: int = 0, side_time_s: float = _SIDE_TIME_S
    ) -> None:
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise MeasureFailed(f"--runner {command!r} is no command ({error}); write it as in 'ssh pi'") from error
        if not words:
            raise MeasureFailed("--runner is empty; write a command as in 'ssh pi'")
        self.taken_on = taken_on
        self._command = (*words, *_WORDS)
        self._name = command
        self._seed = seed
        self._side_time_s = side_time_s

    @property
    def machine(self) -> str:
        """The far machine in words; asked once."""
        return self._described.machine

    @property
    def runtimes(self) -> str:
        """The far machine's runtimes with their versions; asked once."""
        return self._described.runtimes

    @property
    def architecture(self) -> str:
        """The far machine's processor architecture, as in ``aarch64``; asked once."""
        return self._described.architecture

    def time(
        self,
        measurables: Sequence[Measurable],
        rows: Mapping[str, NDArray[np.generic]],
        *,
        effort: Effort,
        threads: int,
    ) -> tuple[Timing, ...]:
        """See ``Runner.time``."""
        answer = self._ask(Task.TIME, measurables, rows=sent_rows(rows, measurables), effort=effort, threads=threads)
        if len(answer.timings) != len(measurables):
            raise self._failed(f"{len(answer.timings)} timings came back for {len(measurables)} models; try again")
        try:
            return tuple(
                Timing(
                    samples_ms=taken.samples_ms,
                    warmup=taken.warmup,
                    threads=threads,
                    machine=answer.machine,
                    taken_on=self.taken_on,
                )
                for taken in answer.timings
            )
        except ValueError as error:
            raise self._failed(f"{error}: another one came back; see what answers there") from error

    def memory(self, measurable: Measurable, *, threads: int) -> int:
        """See ``Runner.memory``."""
        taken = self._ask(Task.MEMORY, (measurable,), threads=threads).memory_bytes
        if taken <= 0:
            raise self._failed(f"{taken} bytes of memory came back for {measurable.label}; see what answers there")
        return taken

    def profile(
        self,
        measurable: Measurable,
        rows: Mapping[str, NDArray[np.generic]],
        *,
        runs: int,
        threads: int,
        named_as: Model | None = None,
    ) -> OperatorProfile:
        """See ``Runner.profile``; taken on this machine: the far side has no onnx to tell fused operations by."""
        from optimizer.benchmark.operators import profile_operators

        return profile_operators(measurable, rows, runs=runs, threads=threads, named_as=named_as)

    @cached_property
    def _described(self) -> Answer:
        return self._ask(Task.DESCRIBE, ())

    def _ask(
        self,
        task: Task,
        measurables: Sequence[Measurable],
        *,
        rows: Mapping[str, SentArray] | None = None,
        effort: Effort | None = None,
        threads: int = 1,
    ) -> Answer:
        request = Request(
            task=task,
            models=tuple(sent_model(one) for one in measurables),
            rows=rows or {},
            effort=effort or Effort(),
            threads=threads,
            seed=self._seed,
        )
        answer = self._exchange(frame(request), self._side_time_s + 4 * request.effort.seconds)
        if answer.problem:
            raise self._failed(answer.problem)
        return answer

    def _exchange(self, request: bytes, limit_s: float) -> Answer:
        with tempfile.TemporaryFile() as sent, tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as words:
            sent.write(request)
            sent.seek(0)
            try:
                process = subprocess.Popen(self._command, stdin=sent, stdout=told, stderr=words)  # noqa: S603 the user's own command
            except OSError as error:
                raise self._failed(f"cannot be started ({error.strerror}); is {self._command[0]} installed?") from error
            try:
                code = self._wait(process, told, words, limit_s)
            finally:
                process.kill()
                process.wait()
            return self._read(code, told, words)

    def _wait(self, process: subprocess.Popen[bytes], told: IO[bytes], words: IO[bytes], limit_s: float) -> int:
        end = time.monotonic() + limit_s
        while True:
            try:
                return process.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                if time.monotonic() > end:
                    raise self._failed(
                        f"no answer within {limit_s:.0f} s{_said(words)}; see whether the command works by hand"
                    ) from None
                if max(told.seek(0, 2), words.seek(0, 2)) > ANSWER_LIMIT_BYTES:
                    raise self._failed(
                        f"printed over {ANSWER_LIMIT_BYTES} bytes and no answer; see what the command prints"
                    ) from None

    def _read(self, code: int, told: IO[bytes], words: IO[bytes]) -> Answer:
        told.seek(0)
        data = told.read(ANSWER_LIMIT_BYTES + 1024)
        try:
            return unframe(Answer, data, limit_bytes=ANSWER_LIMIT_BYTES)
        except MeasureFailed as error:
            if code == _NOT_FOUND:
                raise self._failed(f"edgeship is not installed there{_said(words)}: pip install it there") from error
            if code:
                raise self._failed(
                    f"ended with {code}{_said(words)}; try {shlex.join(self._command)} by hand"
                ) from error
            raise self._failed(f"{error}; only edgeship measure may answer there") from error

    def _failed(self, what: str) -> MeasureFailed:
        return MeasureFailed(f"--runner {self._name!r}: {what}")


def _said(words: IO[bytes]) -> str:
    """Return the last line of what the far side said for people, in brackets."""
    words.seek(max(words.seek(0, 2) - 4096, 0))
    lines = words.read().decode(errors="replace").strip().splitlines()
    return f" ({lines[-1][:200]})" if lines else ""
