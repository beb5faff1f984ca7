"""An artifact is exactly what its header says, or it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.artifact import (
    MAGIC,
    ArtifactHeader,
    Document,
    golden_members,
    read_artifact,
    read_artifact_file,
    read_artifact_header,
    write_artifact,
)
from contracts.codec import encode, to_plain
from contracts.errors import ArtifactError
from tests.builders import a_tiny_onnx_artifact
from tests.contracts.artifact.artifacts import GOLDEN, a_whole_artifact, whole_bytes

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

    with pytest.raises(ArtifactError, match="differs in 'evil'"):
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


def test_the_members_stand_in_one_order_however_they_are_given() -> None:
    artifact = a_whole_artifact()

    content = write_artifact(artifact.manifest, dict(reversed(list(artifact.members.items()))))

    names = [member.name for member in read_artifact_header(content)[0].members]
    assert names == ["model", "golden/input/0", "golden/output/0", "card", "bom", "api"]
    assert content == whole_bytes(artifact)


def test_members_in_another_order_are_refused() -> None:
    header, start = read_artifact_header(DATA)
    first, second, third = header.members
    swapped = (DATA[start:][: first.length], DATA[-third.length :], DATA[start + first.length : -third.length])
    other = encode(ArtifactHeader(manifest=header.manifest, members=(first, third, second)))

    with pytest.raises(ArtifactError, match="another order"):
        read_artifact(MAGIC + len(other).to_bytes(4, "little") + other + b"".join(swapped))


def test_documents_may_be_left_out() -> None:
    artifact = a_whole_artifact()
    plain = {name: data for name, data in artifact.members.items() if name not in list(Document)}

    again = read_artifact(write_artifact(artifact.manifest, plain))

    assert again.members == plain


def test_a_document_that_no_reader_would_take_is_not_written() -> None:
    artifact = a_whole_artifact()

    with pytest.raises(ArtifactError, match="'card' has 1000001 bytes, at most 1000000"):
        write_artifact(artifact.manifest, {**artifact.members, "card": bytes(1_000_001)})


def test_an_older_schema_is_read_and_not_written() -> None:
    artifact = read_artifact((GOLDEN / "artifact-1-onnx.artifact").read_bytes())

    assert golden_members(artifact.manifest) == ("golden/input/x", "golden/output/probability")
    with pytest.raises(ArtifactError, match="schema 1 is read, not written; write schema 2"):
        write_artifact(artifact.manifest, artifact.members)


def test_a_newer_schema_needs_a_newer_agent() -> None:
    header, start = read_artifact_header(DATA)
    text = encode(header).replace(b"fschema\x02", b"fschema\x03")

    with pytest.raises(ArtifactError, match="is of schema 3, this edgeship reads 1 to 2: it needs a newer agent"):
        read_artifact(MAGIC + len(text).to_bytes(4, "little") + text + DATA[start:])


def test_a_newer_schema_is_named_though_the_rest_of_its_header_cannot_be_read() -> None:
    from tests.attacks.forging import with_header

    forged = with_header(DATA, {"manifest": {"schema": 9, "model": ["something", "else"]}, "members": {}})

    with pytest.raises(ArtifactError, match=r"schema 9.*needs a newer agent"):
        read_artifact(forged)


def test_keys_that_this_reader_does_not_know_are_passed_over() -> None:
    from tests.attacks.forging import with_header

    plain = to_plain(read_artifact_header(DATA)[0])
    assert isinstance(plain, dict)

    again = read_artifact(with_header(DATA, {**plain, "later": 1}))

    assert again == read_artifact(DATA)
