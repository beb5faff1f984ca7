"""The real command as a process, what every refusal of it must look like, and what doors are tried with."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tests.builders import TinyModel, a_tiny_onnx_artifact, tflite_bytes
from tests.optimizer.builders import a_dataset, an_onnx_mlp

LIMIT_S = 120.0
INPUTS = 64
PASSPHRASE = "correct horse battery"
FIRST_WORDS = {1: ["error:"], 2: ["Usage:", "Try", "", "Error:"]}
"""How the lines on stderr begin, by exit status: ours for what failed, click's for wrong usage."""
RUN_WITHOUT = """
import sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Refusing())
from edgeship.cli import main
main(sys.argv[1:])
"""


def public_keys(data: str | Path) -> tuple[str, ...]:
    """Return how 'edgeship release init' is told of the public keys of the server in ``data``."""
    return ("--online", f"{data}/online.pub.json", "--director", f"{data}/director.pub.json")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """How one run of the command ended."""

    status: int
    out: str
    err: str

    @property
    def refusal(self) -> str:
        """The line that says why, once all of it is known to be a refusal: no traceback, one sentence, not exit 0."""
        lines = self.err.strip().splitlines()
        assert "Traceback" not in self.err + self.out, self.err
        assert self.status in FIRST_WORDS, (self.status, self.out, self.err)
        assert [line.partition(" ")[0] for line in lines] == FIRST_WORDS[self.status], self.err
        return lines[-1]


@dataclass(frozen=True, kw_only=True)
class Shell:
    """Runs the command in a folder, with a home of its own.

    ``without`` names packages that it is to miss, as a bare install does; no file may grow beyond
    ``most_bytes``: a full disk for those who may not mount one.
    """

    folder: Path
    passphrase: str = PASSPHRASE
    without: tuple[str, ...] = ()
    most_bytes: int | None = None

    def __call__(self, *arguments: str | Path) -> Answer:
        """Run ``edgeship ARGUMENTS`` and return how it ended."""
        code = ["-c", RUN_WITHOUT.format(hidden=set(self.without))] if self.without else ["-m", "edgeship"]
        done = subprocess.run(
            [sys.executable, *code, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_S,
            preexec_fn=None if self.most_bytes is None else partial(_limit_files, self.most_bytes),
        )
        return Answer(status=done.returncode, out=done.stdout, err=done.stderr)

    def done(self, *arguments: str | Path) -> str:
        """Run the command, which must succeed, and return what it printed."""
        answer = self(*arguments)
        assert answer.status == 0, answer.err
        return answer.out

    @property
    def environment(self) -> dict[str, str]:
        """What its processes inherit: nothing of the user's own EDGESHIP settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("EDGESHIP_")}
        return {**kept, "HOME": str(self.folder), "COLUMNS": "160", "EDGESHIP_KEY_PASSPHRASE": self.passphrase}


def _limit_files(most_bytes: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that the write fails instead of the process
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


def write_samples(folder: Path) -> None:
    """Write good and bad models, data and artifacts into the folder."""
    import torch

    model = an_onnx_mlp(inputs=INPUTS)
    data = a_dataset(model)
    assert data.label is not None
    rows, judged, label = data.calibration["row"], data.holdout["row"], data.label
    (folder / "good.onnx").write_bytes(model.content)
    (folder / "good.artifact").write_bytes(a_tiny_onnx_artifact())
    for name, arrays in {
        "good": {"calibration/row": rows, "holdout/row": judged, "holdout/label": label},
        "narrow": {"calibration/row": rows[:, :60], "holdout/row": judged, "holdout/label": label},
        "other-names": {"calibration/image": rows, "holdout/image": judged},
        "few-labels": {"calibration/row": rows, "holdout/row": judged, "holdout/label": label[:5]},
        "no-splits": {"rows": rows},
    }.items():
        np.savez(folder / f"{name}.npz", allow_pickle=False, **arrays)
    for suffix in ("onnx", "tflite", "pt2", "npz", "artifact"):
        (folder / f"prose.{suffix}").write_text("This is no model.")
    for name, content in {
        "cut.onnx": model.content,
        "cut.tflite": tflite_bytes(TinyModel()),
        "cut.npz": (folder / "good.npz").read_bytes(),
        "cut.artifact": a_tiny_onnx_artifact(),
    }.items():
        (folder / name).write_bytes(content[: len(content) * 2 // 3])
    torch.save(torch.nn.Linear(2, 2), folder / "pickled.pt")


def agent_config(folder: Path, server_url: str, *, device: str = "pi-1", more: str = "") -> Path:
    """Write an agent's configuration into a new folder and return its path; the trust root is empty."""
    folder.mkdir(parents=True)
    (folder / "root.json").write_text("{}")
    path = folder / "agent.toml"
    path.write_text(
        f'device = "{device}"\nprofile = "raspberry-pi-4"\nstate_dir = "state"\ntrust_root = "root.json"\n'
        'director_root = "director-root.json"\n'
        f'server.url = "{server_url}"\n{more}'
    )
    return path


def files_in(folder: Path) -> dict[str, bytes]:
    """Return every file below the folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@contextmanager
def taken_port() -> Iterator[int]:
    """Yield a port on which somebody else listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])
