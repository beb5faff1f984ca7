"""What does trusting cost a device: import of python-tuf and what it needs, memory, one refresh of both repositories?

``--wheels`` prints instead whether each package resolves as an aarch64 wheel (it asks the package index).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from benchmarks.harness import Bar, finish, in_fresh_processes, options, reported
from contracts.ids import DEFAULT_TENANT, parse_device_id, parse_profile_name, parse_release_id
from contracts.metadata import NONCE_BYTES, MetadataRequest
from edge_agent.disk import SystemDisk
from edge_agent.errors import MetadataMissing
from edge_agent.serving_port import resident_bytes
from edge_agent.trust.decision import Subject
from edge_agent.trust.trust import Trust, TrustPlaces

QUESTION = "What does verifying signed metadata cost a device in time and memory?"
PACKAGES = ("tuf", "securesystemslib", "urllib3", "cryptography", "cffi", "pycparser", "cbor2")
PYTHONS = ("3.11", "3.12", "3.13")
PLATFORMS = ("manylinux_2_17_aarch64", "manylinux2014_aarch64", "manylinux_2_28_aarch64", "manylinux_2_34_aarch64")
RELEASES = 40
NONCE = bytes(NONCE_BYTES)


class RecordedSource:
    """Both repositories as they answered one refresh: files by request."""

    def __init__(self, folder: Path) -> None:
        """Answer from that folder."""
        self._folder = folder

    def metadata(self, asked: MetadataRequest, *, limit_bytes: int) -> bytes:
        """Return the recorded answer; what was not recorded is missing."""
        del limit_bytes
        path = self._folder / recorded_name(asked)
        if not path.exists():
            raise MetadataMissing(f"{path.name} was not recorded")
        return path.read_bytes()


def recorded_name(asked: MetadataRequest) -> str:
    """Return the file name of the answer."""
    return f"{asked.repository}-{asked.team or asked.name}-{asked.version}.json"


def places(folder: Path, state: Path) -> TrustPlaces:
    """Return the roots that lie in the folder, with the state beside them."""
    return TrustPlaces(
        models_root=folder / "root.json", director_root=folder / "director-root.json", folder=state / "metadata"
    )


def refresh(folder: Path, state: Path) -> None:
    """Plan release 1 as a device does, from the recorded answers."""
    subject = Subject(
        tenant=DEFAULT_TENANT,
        device=parse_device_id("pi-1"),
        profile=parse_profile_name("raspberry-pi-4"),
        runtimes=frozenset({"tflite"}),
    )
    trust = Trust(places(folder, state), subject, SystemDisk(), key=bytes(32), nonces=lambda: NONCE)
    trust.plan(RecordedSource(folder), parse_release_id("digits@1"))


def child(folder: Path) -> dict[str, float]:
    """Return what one fresh process paid: seconds and bytes, step by step."""
    import_module("cryptography.hazmat.primitives.asymmetric.ed25519")  # the agent's identity needs it anyway
    before, began = resident_bytes(), time.perf_counter()
    import_module("tuf.ngclient._internal.trusted_metadata_set")
    imported, import_s = resident_bytes(), time.perf_counter() - began
    with tempfile.TemporaryDirectory() as state:
        began = time.perf_counter()
        refresh(folder, Path(state))
        first_s = time.perf_counter() - began
        began = time.perf_counter()
        refresh(folder, Path(state))
        again_s = time.perf_counter() - began
    return {
        "import_s": import_s,
        "import_mb": (imported - before) / 1e6,
        "first_s": first_s,
        "again_s": again_s,
        "refresh_mb": (resident_bytes() - imported) / 1e6,
    }


@contextmanager
def recorded() -> Iterator[Path]:
    """Give a folder with both repositories: 40 releases, one team, each role signed as a device wants it."""
    from tests.fakes.device import an_artifact
    from tests.fakes.repository import SignedRepository

    repository = SignedRepository()
    repository.delegate("line-3", "digits/*/*.artifact", keys=2, threshold=2)
    for number in range(1, RELEASES + 1):
        repository.publish(an_artifact(version=str(number), counter=number), team="line-3")
    repository.assign("digits@1")
    repository.director.sign_timestamp(NONCE)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "root.json").write_bytes(repository.root)
        (folder / "director-root.json").write_bytes(repository.director.root)
        for name, files in (("models", repository.files), ("director", repository.director.files)):
            newest = {role: max(version for other, version in files if other == role) for role, _ in files}
            for role, version in newest.items():
                shown = 0 if role == "timestamp" else version
                (folder / f"{name}-{role}-{shown}.json").write_bytes(files[role, version])
        yield folder


def measure(*, processes: int, seed: int) -> list[Bar]:
    """Return the bars: each sample is one fresh process."""
    with recorded() as folder:
        rows = in_fresh_processes(
            "benchmarks.trust_footprint", ["--child", str(folder)], processes=processes, seed=seed
        )
    note = f"{RELEASES} releases, one team of two keys"
    return [
        reported("import of tuf, securesystemslib, urllib3", [row["import_s"] for row in rows], unit="s"),
        reported("memory that the import adds", [row["import_mb"] for row in rows], unit="MB"),
        reported("first refresh of both repositories", [row["first_s"] for row in rows], unit="s", note=note),
        reported("refresh when nothing is new", [row["again_s"] for row in rows], unit="s"),
        reported("memory that the refreshes add", [row["refresh_mb"] for row in rows], unit="MB"),
    ]


def show_wheels() -> int:
    """Print for each package and Python whether an aarch64 wheel resolves; return 1 where one does not."""
    missing = 0
    for package in PACKAGES:
        found = {python: _wheel(package, python) for python in PYTHONS}
        missing += sum(not name for name in found.values())
        print(f"{package:18} " + "  ".join(f"{python}: {name or 'no wheel'}" for python, name in found.items()))
    print("all resolve as wheels on aarch64" if not missing else f"{missing} have no wheel")
    return 1 if missing else 0


def _wheel(package: str, python: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--python-version", python, "--implementation", "cp"]
        command += [word for platform in PLATFORMS for word in ("--platform", platform)]
        subprocess.run([*command, "--dest", folder, package], check=False, capture_output=True)
        return next((path.name for path in Path(folder).glob("*.whl")), "")


if __name__ == "__main__":
    if "--child" in sys.argv:
        print(json.dumps(child(Path(sys.argv[sys.argv.index("--child") + 1]))))
        sys.exit(0)
    if "--wheels" in sys.argv:
        sys.exit(show_wheels())
    chosen = options(QUESTION)
    sys.exit(finish(QUESTION, measure(processes=3 if chosen.quick else 15, seed=chosen.seed), chosen))
