"""An artifact of every version is read and served for ever: a fleet holds old releases, and goes back to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.artifact import read_artifact, write_artifact
from contracts.manifest import NEWEST_SCHEMA
from contracts.update import UpdateState
from edge_agent.inference.served_model import ServedModel
from tests.contracts.artifact.artifacts import GOLDEN
from tests.fakes.device import FakeDevice
from tests.fakes.repository import SignedRepository

FILES = sorted(GOLDEN.glob("*.artifact"))
NEWEST = [path for path in FILES if path.name.startswith(f"artifact-{NEWEST_SCHEMA}-")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_artifact_of_old_is_read_and_gives_its_recorded_answers(path: Path) -> None:
    artifact = read_artifact(path.read_bytes())

    served = ServedModel.open(artifact)
    result = served.golden_check()
    served.close()

    assert path.name == f"artifact-{artifact.manifest.schema}-{artifact.manifest.format}.artifact"
    assert (result.rows, result.disagreements) == (8, 0)
    assert result.max_difference <= artifact.manifest.golden.tolerance


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_release_of_old_is_still_installed(path: Path, tmp_path: Path) -> None:
    repository = SignedRepository()
    repository.publish(path.read_bytes())
    device = FakeDevice(tmp_path / "state", repository)

    device.offer("digits@1.0.0")

    assert (device.running, device.last.state) == ("digits@1.0.0", UpdateState.HEALTHY)


@pytest.mark.parametrize("path", NEWEST, ids=lambda path: path.name)
def test_what_is_written_now_has_the_bytes_of_old(path: Path) -> None:
    artifact = read_artifact(path.read_bytes())

    again = write_artifact(artifact.manifest, dict(reversed(list(artifact.members.items()))))

    assert again == path.read_bytes()


def test_every_schema_and_format_is_kept_and_small() -> None:
    names = [path.name for path in FILES]

    assert names == [f"artifact-{schema}-{kind}.artifact" for schema in (1, 2) for kind in ("onnx", "tflite")]
    assert max(path.stat().st_size for path in FILES) < 20_000
