"""Attack 34: an artifact whose manifest names what it must not, or claims what it does not hold.

The signature is taken to be good: these are artifacts that somebody made the release engineers sign.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.artifact import MAGIC, read_artifact, read_artifact_header
from contracts.errors import ArtifactError
from contracts.ids import digest_of
from contracts.manifest import ModelFormat
from edge_agent.errors import ModelRefused
from edge_agent.inference.engine import load_engine
from optimizer.errors import ModelError
from optimizer.model import Format, Model
from tests.attacks.forging import forged, with_header_bytes
from tests.builders import TinyModel, a_tiny_onnx_artifact, a_tiny_tflite_artifact, onnx_bytes
from tests.contracts.artifact.artifacts import GOLDEN

DATA = a_tiny_tflite_artifact(TinyModel(hidden=2))
OLD = (GOLDEN / "artifact-1-tflite.artifact").read_bytes()
PATHS = ("../../etc/cron.d/x", "/etc/passwd", "a/../../b", "x\0.txt", "..", ".", "", "C:\\x", "~/x", "link")
DECEPTIONS = ("digits\u202egnp", "dig\u200bits", "d\x1b[2Jigits", "e\u0301tat", "x" * 256, "\ue000", "two\u2028lines")


def refusal(data: bytes) -> str:
    """Return what a reader says of it; ``test_what_is_not_forged_is_read`` shows that it says nothing of a good one."""
    with pytest.raises(ArtifactError) as caught:
        read_artifact(data)
    return str(caught.value)


def test_what_is_not_forged_is_read() -> None:
    assert read_artifact(forged(DATA, lambda _: None)) == read_artifact(DATA)
    assert read_artifact(forged(OLD, lambda _: None)) == read_artifact(OLD)


@pytest.mark.parametrize("name", [*PATHS, *DECEPTIONS])
@pytest.mark.parametrize("data", [DATA, OLD], ids=["schema 2", "schema 1"])
def test_attack_34_a_member_named_as_a_path(data: bytes, name: str) -> None:
    hidden = {"name": name, "length": 0, "digest": digest_of(b"")}

    said = refusal(forged(data, lambda header: header["members"].append(hidden)))

    assert "no more and no less; differs in" in said
    assert ascii(said)[1:-1].isprintable()


@pytest.mark.parametrize("name", DECEPTIONS)
@pytest.mark.parametrize("side", ["inputs", "outputs"])
@pytest.mark.parametrize("data", [DATA, OLD], ids=["schema 2", "schema 1"])
def test_attack_34_a_tensor_named_to_deceive(data: bytes, side: str, name: str) -> None:
    said = refusal(forged(data, lambda header: header["manifest"][side][0].update(name=name)))

    assert "the manifest is refused: " in said
    assert said.isprintable()


@pytest.mark.parametrize("name", [*PATHS[:-1], *DECEPTIONS])
@pytest.mark.parametrize("key", ["model", "profile", "version"])
def test_attack_34_a_model_a_profile_or_a_version_named_as_a_path(key: str, name: str) -> None:
    said = refusal(forged(DATA, lambda header: header["manifest"].update({key: name})))

    assert "the manifest is refused" in said


def test_attack_34_two_members_of_one_name() -> None:
    said = refusal(forged(DATA, lambda header: header["members"].append(header["members"][0])))

    assert "member 'model' appears twice" in said


def test_attack_34_two_tensors_of_one_name() -> None:
    said = refusal(forged(DATA, lambda header: header["manifest"]["inputs"].append(header["manifest"]["inputs"][0])))

    assert "input 'x' is there twice" in said


@pytest.mark.parametrize("length", [-1, -(2**60)])
def test_attack_34_a_member_that_runs_backwards_over_another(length: int) -> None:
    said = refusal(forged(DATA, lambda header: header["members"][1].update(length=length)))

    assert f"has length {length}" in said


@pytest.mark.parametrize("length", [10**6, 2**62])
def test_attack_34_a_member_longer_than_the_file(length: int) -> None:
    said = refusal(forged(DATA, lambda header: header["members"][-1].update(length=length)))

    assert "member 'golden/output/0' differs from its digest" in said


def test_attack_34_bytes_between_the_members_and_after_them() -> None:
    start = read_artifact_header(DATA)[1]

    assert "7 bytes after the last member" in refusal(DATA + b"smuggle")
    assert "7 bytes after the last member" in refusal(DATA[:start] + b"smuggle" + DATA[start:])


def test_attack_34_a_million_members() -> None:
    def crowd(header: Any) -> None:
        header["members"] = [{"name": "m", "length": 0, "digest": ""}] * 20_000

    assert "20000 members are listed, at most 1024 are read" in refusal(forged(DATA, crowd))


@pytest.mark.parametrize("length", [1_000_001, 2**32 - 1])
def test_attack_34_a_header_that_claims_more_than_may_be(length: int) -> None:
    data = MAGIC + length.to_bytes(4, "little") + bytes(1_000_001)

    assert f"the header claims {length} bytes" in refusal(data)


@pytest.mark.parametrize("opening", [b"\x81", b"\xa1\x60", b"\xc6", b"\x9f"], ids=["lists", "maps", "tags", "endless"])
def test_attack_34_a_header_nested_without_end(opening: bytes) -> None:
    header = opening * (900_000 // len(opening)) + b"\x00"

    assert "the header cannot be read" in refusal(with_header_bytes(DATA, header))


def test_attack_34_a_header_written_twice() -> None:
    length = int.from_bytes(DATA[8:12], "little")
    header = DATA[12 : 12 + length]

    said = refusal(with_header_bytes(DATA, b"\xa3" + header[1:] + b"\x68manifest\x00"))

    assert "not the canonical form" in said


def _budget(header: Any, bound: float) -> None:
    header["manifest"]["budget"]["latency_p95_ms"] = bound


def _tolerance(header: Any, bound: float) -> None:
    header["manifest"]["golden"]["tolerance"] = bound


def _low(header: Any, bound: float) -> None:
    header["manifest"]["inputs"][0]["low"] = bound


def _high(header: Any, bound: float) -> None:
    header["manifest"]["inputs"][0]["high"] = -bound


def _scale(header: Any, bound: float) -> None:
    header["manifest"]["model_inputs"][0]["quantization"] = {"scale": bound, "zero_point": 0}


def _factor(header: Any, bound: float) -> None:
    header["manifest"]["preprocessing"] = [{"kind": "scale", "tensor": "x", "factor": [bound], "offset": [0.0]}]


def _threshold(header: Any, bound: float) -> None:
    header["manifest"]["postprocessing"] = [{"kind": "threshold", "tensor": "probability", "threshold": [bound]}]


def _edge(header: Any, bound: float) -> None:
    header["manifest"]["sketch_plan"]["features"][0]["edges"][0] = -bound


@pytest.mark.parametrize("bound", [math.nan, math.inf])
@pytest.mark.parametrize("change", [_budget, _tolerance, _low, _high, _scale, _factor, _threshold, _edge])
def test_attack_34_a_number_that_bounds_nothing(change: Callable[[Any, float], None], bound: float) -> None:
    said = refusal(forged(DATA, lambda header: change(header, bound)))

    assert "nan" in said or "inf" in said or "no finite number" in said


@pytest.mark.parametrize("scale", [0.0, -0.5])
def test_attack_34_a_scale_that_turns_every_value_into_one(scale: float) -> None:
    assert f"has the scale {scale}" in refusal(forged(DATA, lambda header: _scale(header, scale)))


@pytest.mark.parametrize("counter", [0, -1, 2**53, 2**62])
def test_attack_34_a_counter_that_no_json_reader_keeps(counter: int) -> None:
    said = refusal(forged(DATA, lambda header: header["manifest"].update(counter=counter)))

    assert f"counter {counter} is not between 1" in said


def test_attack_34_golden_rows_without_number_make_no_array() -> None:
    from edge_agent.inference.served_model import ServedModel

    def boast(header: Any) -> None:
        header["manifest"]["golden"]["rows"] = 2**62
        header["manifest"]["inputs"][0]["shape"] = [-1, 2**40]

    artifact = read_artifact(forged(DATA, boast))

    with pytest.raises(ModelRefused, match="does not hold 4611686018427387904 rows"):
        ServedModel.open(artifact)


def an_onnx_file_of(path: str, folder: Path) -> bytes:
    """Return an ONNX file whose first weights lie at that path, where they really are."""
    import onnx
    from onnx.external_data_helper import set_external_data

    proto = onnx.load_model_from_string(onnx_bytes(TinyModel()))
    weights = proto.graph.initializer[0]
    (folder / "weights.bin").write_bytes(weights.raw_data)
    set_external_data(weights, path, offset=0, length=len(weights.raw_data))
    weights.ClearField("raw_data")
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize("place", ["weights.bin", "./weights.bin", "sub/../weights.bin", "ABSOLUTE"])
def test_attack_34_a_model_that_reads_other_files_of_the_device(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = an_onnx_file_of(place.replace("ABSOLUTE", os.fspath(tmp_path / "weights.bin")), tmp_path)
    manifest = read_artifact(a_tiny_onnx_artifact()).manifest

    with pytest.raises(ModelRefused, match=r"keeps weights in other files \(external data\).*export it whole"):
        load_engine(manifest, model)


def test_attack_34_the_packer_takes_no_model_that_reads_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ModelError, match="lies in another file"):
        Model.from_bytes(Format(ModelFormat.ONNX.value), an_onnx_file_of("weights.bin", tmp_path), name="digits")
