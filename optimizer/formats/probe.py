"""Opening a file that came from elsewhere in a process of its own, before this one believes it.

Native code reads model files, and a hostile or damaged one can crash it, hang it, or make it ask for terabytes.
The child has a limit on memory and time, opens the file as this process would, and runs it once on zeros; whatever
becomes of it is one line here. Run as ``python -m optimizer.formats.probe`` with the question on its input, JSON.

Costs about half a second (ONNX, TFLite) or two (PyTorch), so it is not done for what this process made itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess  # the child is this very module
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from contracts.tensors import ElementType, TensorSpec
from optimizer.errors import LibraryMissing, MeasureFailed, ModelError, OptimizerError
from optimizer.file_kind import FileKind

_ADVICE: Final = "export it again, and if that does not help, give the model in another format"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How much a child may take to open a file: seconds on the clock, and bytes of address space."""

    time_s: float = 120.0
    memory_bytes: int = 4 << 30
    per_file_byte: int = 12

    def for_file(self, size_bytes: int) -> int:
        """Return the bytes of address space that a file of that size may take."""
        return self.memory_bytes + self.per_file_byte * size_bytes


def probe(path: Path, kind: FileKind, *, inputs: Sequence[TensorSpec] = (), room: Room | None = None) -> None:
    """Return once the file was opened, and run once on zeros where it is a whole model, by a process of its own.

    Args:
        path: the file.
        kind: what its first bytes say that it is.
        inputs: sizes for those that an ONNX file leaves free.
        room: what the process may take.

    Raises:
        ModelError: the file is refused, or the process crashed over it, hung, or ran out of its memory.
        LibraryMissing: the format's library is not installed.
    """
    room = room or Room()
    limit = room.for_file(path.stat().st_size)
    sizes = [_plain(spec) for spec in inputs]
    question = {"path": str(path.absolute()), "kind": kind.value, "memory": limit, "inputs": sizes}
    with subprocess.Popen(
        [sys.executable, "-m", "optimizer.formats.probe"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
        text=True,
    ) as child:
        try:
            told, _ = child.communicate(json.dumps(question), timeout=room.time_s)
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"{path}: opening it was given up after {room.time_s:.0f} s; {_ADVICE}") from error
        finally:
            child.kill()
    judge(path, child.returncode, told, limit)


def judge(path: Path, status: int, told: str, limit: int) -> None:
    """Return where all is well with what became of the child.

    Args:
        path: the file that it opened.
        status: how it ended; the negative number of the signal that ended it.
        told: what it wrote.
        limit: the bytes that it could take.

    Raises:
        ModelError: the file is refused, or the child ended before it could say so.
    """
    answer = _answer(told)
    if answer == {"fits": True}:
        return
    if "missing" in answer:
        # this process would meet the same gap: let it say so in its own words
        return
    if "refused" in answer:
        raise ModelError(answer["refused"])
    ended = signal.Signals(-status).name if -status in {one.value for one in signal.Signals} else f"status {status}"
    if "memory" in answer or ended in ("SIGABRT", "SIGKILL"):
        raise ModelError(
            f"{path}: opening it and running it once takes more than {limit / 2**30:.0f} GB of memory, or crashes its "
            f"runtime; a shape or a constant in it may be damaged: {_ADVICE}"
        )
    raise ModelError(f"{path}: its runtime crashes over it ({ended}), so it is damaged; {_ADVICE}")


def _answer(told: str) -> dict[str, Any]:
    last = (told.strip().splitlines() or [""])[-1]
    with contextlib.suppress(ValueError):
        answer = json.loads(last)
        if isinstance(answer, dict):
            return answer
    return {}


def _plain(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "element": spec.element.value, "shape": list(spec.shape)}


def _spec(plain: Mapping[str, Any]) -> TensorSpec:
    return TensorSpec(name=plain["name"], element=ElementType(plain["element"]), shape=tuple(plain["shape"]))


def try_file(path: Path, kind: FileKind, *, inputs: Sequence[TensorSpec] = ()) -> None:
    """Open the file in this process and run a whole model once: on zeros, or on ones if it minds zeros.

    Raises:
        ModelError: the file is refused, or does not run.
        LibraryMissing: the format's library is not installed.
    """
    if kind.is_weights:
        from optimizer.formats.torch_weights import read_weights

        read_weights(path.read_bytes(), path, kind)
        return
    from optimizer.formats.session import constant_rows, open_session
    from optimizer.model import Model

    model = Model.load(path, inputs=inputs)
    try:
        session = open_session(model)
        try:
            session.run(constant_rows(model, 0))
        except MeasureFailed:
            session.run(constant_rows(model, 1))
    except MeasureFailed as error:
        raise ModelError(f"{error}; {_ADVICE}") from error


def limit_memory(limit: int) -> None:
    """Let this process ask for at most so many bytes, and leave no core dump, where the system knows limits."""
    try:
        import resource
    except ImportError:
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> str:
    """Return the answer to the question on the standard input."""
    question = json.loads(sys.stdin.read())
    limit_memory(question["memory"])
    try:
        try_file(Path(question["path"]), FileKind(question["kind"]), inputs=tuple(map(_spec, question["inputs"])))
    except RecursionError:
        return json.dumps({"refused": f"{question['path']}: it is nested too deeply, so it is damaged; {_ADVICE}"})
    except MemoryError:
        return json.dumps({"memory": True})
    except LibraryMissing as error:
        return json.dumps({"missing": str(error)})
    except OptimizerError as error:
        short_of_memory = "bad_alloc" in str(error) or "llocat" in str(error)
        return json.dumps({"memory": True} if short_of_memory else {"refused": str(error)})
    return json.dumps({"fits": True})


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")  # what libraries print must not mix with the answer
    os.dup2(2, 1)
    answers.write(main() + "\n")
    answers.flush()
    os._exit(0)  # native code's own ending may crash over what it has read
