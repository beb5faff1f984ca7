"""``python -m tests.long.loader_child``: loads whatever bytes it is handed, in a process that may die of them.

Native code reads model files. What it does with damaged ones, a crash included, is only seen from outside.

In: one byte for the door, four bytes of length (big-endian), the file. Out: one line for each: ``fits``,
``refused CODE`` (the documented error), or ``escaped TYPE: MESSAGE``.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import BinaryIO

from contracts.artifact import MODEL_MEMBER, Artifact, read_artifact
from contracts.manifest import ModelFormat
from contracts.tensors import ElementType, TensorSpec
from edge_agent.errors import ModelRefused
from optimizer.errors import DatasetError, ModelError
from optimizer.file_kind import FileKind, file_kind
from optimizer.formats.probe import limit_memory, try_file

MEMORY_BYTES = 4 << 30
HANG_S = 60.0
_WEIGHTS = b"w" * 768


class Door(StrEnum):
    """Where a model file comes in; one letter each."""

    OPTIMIZER_ONNX = "o"
    OPTIMIZER_TFLITE = "t"
    OPTIMIZER_PROGRAM = "p"
    OPTIMIZER_STATE_DICT = "s"
    OPTIMIZER_SAFETENSORS = "f"
    DATA_NPZ = "n"
    DATA_CSV = "c"
    DATA_WAV = "v"
    AGENT_ONNX = "O"
    AGENT_TFLITE = "T"

    @property
    def suffix(self) -> str:
        """Of the file that comes in there."""
        return _SUFFIXES[self]


_SUFFIXES = {
    Door.OPTIMIZER_ONNX: ".onnx",
    Door.OPTIMIZER_TFLITE: ".tflite",
    Door.OPTIMIZER_PROGRAM: ".pt2",
    Door.OPTIMIZER_STATE_DICT: ".pt",
    Door.OPTIMIZER_SAFETENSORS: ".safetensors",
    Door.DATA_NPZ: ".npz",
    Door.DATA_CSV: ".csv",
    Door.DATA_WAV: ".wav",
}
_DATA = (Door.DATA_NPZ, Door.DATA_CSV, Door.DATA_WAV)


class LoaderChild:
    """A child process that loads files; it is started again after it died, and ended where it hangs."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def load(self, door: Door, content: bytes) -> str:
        """Return the child's line, or ``died SIGNAL``; a child that hangs dies of signal 9."""
        process = self._process = self._process or _start()
        assert process.stdin is not None
        assert process.stdout is not None
        watchdog = threading.Timer(HANG_S, process.kill)
        watchdog.start()
        try:
            process.stdin.write(door.encode() + len(content).to_bytes(4, "big") + content)
            process.stdin.flush()
            line = process.stdout.readline().decode(errors="replace").strip()
        except BrokenPipeError:
            line = ""
        finally:
            watchdog.cancel()
        return line or self._buried(process)

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._buried(self._process)

    def _buried(self, process: subprocess.Popen[bytes]) -> str:
        self._process = None
        status = process.wait()
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()  # type: ignore[union-attr] # both are ours
        return f"died {status}"


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.long.loader_child"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def main(source: BinaryIO, sink: BinaryIO, folder: Path) -> None:
    """Answer until there is no more."""
    doors = _doors(folder)
    while letter := source.read(1):
        content = source.read(int.from_bytes(source.read(4), "big"))
        sink.write(_outcome(doors[Door(letter.decode())], content).encode(errors="replace") + b"\n")
        sink.flush()


def _outcome(door: Callable[[bytes], None], content: bytes) -> str:
    try:
        door(content)
    except (ModelError, ModelRefused, DatasetError) as error:
        return f"refused {error.code}" if "\n" not in str(error) else f"escaped a message of several lines: {error!r}"
    except MemoryError:
        return "refused memory"  # the probe's child says so, too
    except Exception as error:  # noqa: BLE001 - what escapes is what is looked for
        return f"escaped {type(error).__name__}: {error}".replace("\n", " ")[:300]
    return "fits"


def _doors(folder: Path) -> dict[Door, Callable[[bytes], None]]:
    from tests.builders import a_tiny_onnx_artifact, a_tiny_tflite_artifact

    onnx, tflite = read_artifact(a_tiny_onnx_artifact()), read_artifact(a_tiny_tflite_artifact())
    (folder / "weights.bin").write_bytes(_WEIGHTS)
    ours: dict[Door, Callable[[bytes], None]] = {
        door: partial(_read if door in _DATA else _try, folder / f"fuzzed{suffix}")
        for door, suffix in _SUFFIXES.items()
    }
    return ours | {
        Door.AGENT_ONNX: partial(_open, onnx, ModelFormat.ONNX),
        Door.AGENT_TFLITE: partial(_open, tflite, ModelFormat.TFLITE),
    }


def _try(path: Path, content: bytes) -> None:
    """Do what ``optimizer.source.open_model`` has its own child do."""
    if content:
        path.write_bytes(content)
        kind = file_kind(content, path)
        try_file(path, FileKind(kind))


def _read(path: Path, content: bytes) -> None:
    """Read data as ``edgeship optimize --data`` does: every row of it."""
    from optimizer.data.source import open_dataset

    shape = (-1, 64) if path.suffix == ".wav" else (-1, 3)
    inputs = (TensorSpec(name="x", element=ElementType.FP32, shape=shape),)
    where = path
    if path.suffix == ".wav":
        for word in ("no/a", "no/b", "no/c", "yes/a", "yes/b", "yes/c"):
            clip = path.parent / "sounds" / f"{word}.wav"
            clip.parent.mkdir(parents=True, exist_ok=True)
            clip.write_bytes(content)
        where = path.parent / "sounds"
    else:
        path.write_bytes(content)
    dataset = open_dataset(where, inputs)
    for rows in (dataset.calibration, dataset.holdout):
        for _ in rows.batches(64):
            pass


def _open(artifact: Artifact, kind: ModelFormat, content: bytes) -> None:
    from edge_agent.inference.served_model import ServedModel

    manifest = replace(artifact.manifest, format=kind)
    ServedModel.open(Artifact(manifest=manifest, members={**artifact.members, MODEL_MEMBER: content})).close()


if __name__ == "__main__":
    limit_memory(MEMORY_BYTES)
    answers = os.fdopen(os.dup(1), "wb")  # what libraries print to stdout must not mix with the answers
    os.dup2(2, 1)
    with tempfile.TemporaryDirectory() as temporary:
        main(sys.stdin.buffer, answers, Path(temporary))
