"""``python -m tests.long.loader_child``: loads whatever bytes it is handed, in a process that may die of them.

Native code reads model files. What it does with damaged ones, a crash included, is only seen from outside.

In: one byte for the door, four bytes of length (big-endian), the file. Out: one line for each: ``fits``,
``refused CODE`` (the documented error), or ``escaped TYPE: MESSAGE``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import BinaryIO

from contracts.artifact import MODEL_MEMBER, Artifact, read_artifact
from contracts.manifest import ModelFormat
from edge_agent.errors import ModelRefused
from optimizer.errors import ModelError


class Door(StrEnum):
    """Where a model file comes in; one letter each."""

    OPTIMIZER_ONNX = "o"
    OPTIMIZER_TFLITE = "t"
    AGENT_ONNX = "O"
    AGENT_TFLITE = "T"


class LoaderChild:
    """A child process that loads files; it is started again after it died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def load(self, door: Door, content: bytes) -> str:
        """Return the child's line, or ``died SIGNAL``."""
        process = self._process = self._process or _start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(door.encode() + len(content).to_bytes(4, "big") + content)
            process.stdin.flush()
        except BrokenPipeError:
            return self._buried(process)
        line = process.stdout.readline().decode(errors="replace").strip()
        return line or self._buried(process)

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _buried(self, process: subprocess.Popen[bytes]) -> str:
        self._process = None
        return f"died {process.wait()}"


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.long.loader_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def main(source: BinaryIO, sink: BinaryIO) -> None:
    """Answer until there is no more."""
    doors = _doors()
    while letter := source.read(1):
        content = source.read(int.from_bytes(source.read(4), "big"))
        sink.write(_outcome(doors[Door(letter.decode())], content).encode(errors="replace") + b"\n")
        sink.flush()


def _outcome(door: Callable[[bytes], None], content: bytes) -> str:
    try:
        door(content)
    except (ModelError, ModelRefused) as error:
        return f"refused {error.code}"
    except Exception as error:  # noqa: BLE001 - what escapes is what is looked for
        return f"escaped {type(error).__name__}: {error}".replace("\n", " ")[:300]
    return "fits"


def _doors() -> dict[Door, Callable[[bytes], None]]:
    from optimizer.formats import onnx_format, tflite_format
    from tests.builders import a_tiny_onnx_artifact, a_tiny_tflite_artifact

    onnx, tflite = read_artifact(a_tiny_onnx_artifact()), read_artifact(a_tiny_tflite_artifact())
    return {
        Door.OPTIMIZER_ONNX: lambda content: _drop(onnx_format.load(content, "fuzzed")),
        Door.OPTIMIZER_TFLITE: lambda content: _drop(tflite_format.load(content, "fuzzed")),
        Door.AGENT_ONNX: lambda content: _open(onnx, ModelFormat.ONNX, content),
        Door.AGENT_TFLITE: lambda content: _open(tflite, ModelFormat.TFLITE, content),
    }


def _drop(_spec: object) -> None:
    """Keep nothing."""


def _open(artifact: Artifact, kind: ModelFormat, content: bytes) -> None:
    from edge_agent.inference.served_model import ServedModel

    manifest = replace(artifact.manifest, format=kind)
    ServedModel.open(Artifact(manifest=manifest, members={**artifact.members, MODEL_MEMBER: content})).close()


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "wb")  # what libraries print to stdout must not mix with the answers
    os.dup2(2, 1)
    main(sys.stdin.buffer, answers)
