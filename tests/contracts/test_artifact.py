"""An artifact is exactly what its header says, or it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.artifact import golden_members, read_artifact, read_artifact_file, write_artifact
from contracts.errors import ArtifactError
from tests.builders import a_tiny_onnx_artifact

DATA = a_tiny_onnx_artifact()


def test_reading_gives_back_what_was_written() -> None:
    artifact = read_artifact(DATA)

    again = write_artifact(artifact.manifest, artifact.members)

    assert again == DATA


@settings(max_examples=300)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_flipped_byte_never_changes_a_member_unnoticed(place: int, flip: int) -> None:
    damaged = bytearray(DATA)
    damaged[place] ^= flip

    try:
        artifact = read_artifact(bytes(damaged))
    except ArtifactError:
        return

    assert artifact.members == read_artifact(DATA).members


@given(st.integers(0, len(DATA) - 1))
def test_a_file_cut_short_is_refused(length: int) -> None:
    with pytest.raises(ArtifactError):
        read_artifact(DATA[:length])


def test_bytes_after_the_last_member_are_refused() -> None:
    with pytest.raises(ArtifactError, match="7 bytes after the last member"):
        read_artifact(DATA + b"payload")


def test_a_member_too_many_is_refused() -> None:
    artifact = read_artifact(DATA)

    with pytest.raises(ArtifactError, match="differs in evil"):
        write_artifact(artifact.manifest, {**artifact.members, "evil": b"x"})


def test_a_missing_golden_tensor_is_refused() -> None:
    artifact = read_artifact(DATA)
    name = golden_members(artifact.manifest)[0]
    members = {key: value for key, value in artifact.members.items() if key != name}

    with pytest.raises(ArtifactError, match=name):
        write_artifact(artifact.manifest, members)


def test_a_file_that_is_no_artifact_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x0aonnx")

    with pytest.raises(ArtifactError, match=r"model\.onnx: this is no edgeship artifact; make one with"):
        read_artifact_file(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"cannot read artifact .*absent\.artifact"):
        read_artifact_file(tmp_path / "absent.artifact")
