"""Every decoder that faces bytes from outside, for minutes: only its documented error, and nothing stored."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import cbor2
import orjson
import pytest
from hypothesis import strategies as st
from sqlalchemy import select

from contracts.artifact import MAGIC, read_artifact, read_artifact_header
from contracts.chunks import ChunkAnswer, ChunkIndex, ChunkRequest
from contracts.codec import decode, encode, to_plain
from contracts.enrollment import EnrollmentAnswer, EnrollmentRequest
from contracts.envelope import Envelope, ReportAck, ReportKind, signed_bytes
from contracts.errors import ArtifactError, ContractError, DecodeError
from contracts.health import Heartbeat
from contracts.ids import DEFAULT_TENANT, DeviceId
from contracts.manifest import ArtifactManifest
from contracts.metadata import MetadataAnswer, MetadataRequest
from contracts.release import Release, TargetCustom
from contracts.retrain import RetrainRequest
from contracts.sketch import Sketch, SketchPlan
from contracts.topics import FROM_DEVICE, Channel, device_topic
from contracts.update import Offer, UpdateReport
from edge_agent.errors import AgentError, InferenceFailed, InvalidRequest
from edge_agent.inference.protocol import read_infer_request
from edge_agent.inference.served_model import ServedModel
from fleet_server.broker.inbox import read_topic
from fleet_server.database.columns import Row
from fleet_server.database.session import reading
from optimizer.errors import ModelError
from optimizer.formats.onnx_gathering import gather
from tests.builders import INPUT, TinyModel, a_tiny_onnx_artifact, onnx_bytes, tflite_bytes
from tests.edge_agent.inference.artifacts import a_served_model
from tests.edge_agent.inference.running_server import RunningServer, json_request, running_server
from tests.fleet_server.server import BOOT, EnrolledDevice, SmallServer, a_release, a_server
from tests.long import models
from tests.long.doors import fuzz_door
from tests.long.fuzzing import fuzz, hostile, mutated, one_change, plain_values
from tests.long.loader_child import Door
from tests.long.models import strange_graphs, strange_places, strange_programs, strange_safetensors, weights_beside
from tests.slow import record
from tests.strategies import chunk_requests, envelopes, heartbeats, offers, sketches, update_reports

pytestmark = [pytest.mark.long, pytest.mark.slow]

MESSAGES: tuple[type[object], ...] = (
    ArtifactManifest,
    ChunkAnswer,
    ChunkIndex,
    ChunkRequest,
    EnrollmentAnswer,
    EnrollmentRequest,
    Envelope,
    Heartbeat,
    MetadataAnswer,
    MetadataRequest,
    Offer,
    Release,
    ReportAck,
    RetrainRequest,
    Sketch,
    SketchPlan,
    TargetCustom,
    UpdateReport,
)
REPORTS = {ReportKind.HEARTBEAT: Heartbeat, ReportKind.UPDATE: UpdateReport, ReportKind.SKETCH: Sketch}
LONG_S, SHORT_S, CODEC_S = 30.0, 20.0, 5.0
DOOR_S = 80.0
"""With the four doors of LONG_S more than ten minutes for what reads model files."""
canonical = partial(cbor2.dumps, canonical=True)


@pytest.mark.parametrize("kind", MESSAGES)
def test_a_message_decodes_or_is_a_decode_error(kind: type[object]) -> None:
    shaped = hostile(kind).map(canonical)
    anything = st.binary(max_size=300) | plain_values().map(canonical) | shaped

    def check(data: bytes) -> None:
        with contextlib.suppress(DecodeError):
            message = decode(kind, data)
            assert encode(decode(kind, encode(message))) == encode(message)

    record(f"codec {kind.__name__}", fuzz(anything, check, seconds=CODEC_S))


def test_mutated_messages_decode_or_are_decode_errors() -> None:
    good = st.one_of(offers(), update_reports(), heartbeats(), envelopes(), sketches(), chunk_requests())

    def check(case: tuple[object, bytes]) -> None:
        message, data = case
        with contextlib.suppress(DecodeError):
            decode(type(message), data)

    cases = good.flatmap(lambda message: st.tuples(st.just(message), mutated(encode(message))))
    record("codec, mutated", fuzz(cases, check, seconds=SHORT_S))


def test_an_artifact_is_read_or_is_an_artifact_error() -> None:
    whole = a_tiny_onnx_artifact()
    _, start = read_artifact_header(whole)
    header = to_plain(read_artifact_header(whole)[0])

    def with_header(plain: object) -> bytes:
        text = canonical(plain)
        return MAGIC + len(text).to_bytes(4, "little") + text + whole[start:]

    def check(data: bytes) -> None:
        with contextlib.suppress(ArtifactError):
            read_artifact(data)

    damaged = mutated(whole) | one_change(header, plain_values()).map(with_header)
    record("artifact", fuzz(damaged, check, seconds=SHORT_S))


def test_a_signed_artifact_with_a_strange_manifest_opens_or_is_refused() -> None:
    whole = a_tiny_onnx_artifact()
    header, start = read_artifact_header(whole)
    opened: Counter[bool] = Counter()

    def check(manifest: object) -> None:
        text = canonical({"manifest": manifest, "members": to_plain(header.members)})
        data = MAGIC + len(text).to_bytes(4, "little") + text + whole[start:]
        opened[False] += 1
        with contextlib.suppress(AgentError, ContractError):
            ServedModel.open(read_artifact(data)).close()
            opened[True] += 1

    strange = one_change(to_plain(header.manifest), plain_values())
    record("manifest", fuzz(strange, check, seconds=LONG_S))
    record("manifest, opened all the same", opened[True])


def test_an_infer_request_is_read_or_is_an_invalid_request() -> None:
    served = a_served_model()
    good = json_request(TinyModel().rows(2))
    json_text = orjson.dumps(good)
    changed = one_change(good, plain_values()).filter(_is_json).map(orjson.dumps)  # type: ignore[arg-type]  # the filter lets through only what JSON can say
    lengths = st.none() | st.integers(-2, len(json_text) + 10)

    def check(case: tuple[bytes, int | None]) -> None:
        with contextlib.suppress(InvalidRequest, InferenceFailed):
            served.infer(read_infer_request(served.manifest, *case).inputs)

    cases = st.tuples(mutated(json_text) | changed | st.just(_binary_request()), lengths)
    record("infer request", fuzz(cases, check, seconds=LONG_S))


@pytest.fixture
def agent() -> Iterator[RunningServer]:
    with running_server() as running:
        running.models.put(a_served_model())
        yield running


def test_an_http_client_is_answered_below_500_or_cut_off(agent: RunningServer) -> None:
    body = orjson.dumps(json_request(TinyModel().rows(1)))
    post = b"POST /v2/models/digits/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )
    get = b"GET /v2/models/digits HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    statuses: Counter[int] = Counter()

    def check(data: bytes) -> None:
        answer = _exchange(agent, data)
        assert not answer or answer.startswith(b"HTTP/1.1 ")
        statuses[int(answer[9:12]) if answer else 0] += 1
        assert not answer or int(answer[9:12]) < 500, answer[:300]

    record("http", fuzz(mutated(post) | mutated(get) | mutated(get + post), check, seconds=LONG_S))
    record("http statuses", dict(sorted(statuses.items())))
    assert agent.client().infer(TinyModel().rows(1)).status == 200


@pytest.mark.parametrize(
    ("door", "whole"),
    [
        (Door.OPTIMIZER_ONNX, onnx_bytes(TinyModel())),
        (Door.OPTIMIZER_TFLITE, tflite_bytes(TinyModel())),
        (Door.AGENT_ONNX, onnx_bytes(TinyModel())),
        (Door.AGENT_TFLITE, tflite_bytes(TinyModel())),
    ],
    ids=["optimizer-onnx", "optimizer-tflite", "agent-onnx", "agent-tflite"],
)
def test_a_model_file_is_read_or_refused(door: Door, whole: bytes) -> None:
    outcomes = fuzz_door(door, mutated(whole), seconds=LONG_S)

    assert outcomes["refused"] > 0


def test_a_strange_graph_is_read_or_refused() -> None:
    outcomes = fuzz_door(Door.OPTIMIZER_ONNX, strange_graphs(), seconds=DOOR_S)

    assert outcomes["refused"] > 0


@pytest.mark.parametrize(
    ("door", "whole"),
    [(Door.DATA_NPZ, models.an_npz_file), (Door.DATA_CSV, models.a_csv_file), (Door.DATA_WAV, models.a_wav_file)],
    ids=["npz", "csv", "wav"],
)
def test_data_are_read_or_refused(door: Door, whole: Callable[[], bytes]) -> None:
    outcomes = fuzz_door(door, mutated(whole()), seconds=LONG_S)

    assert outcomes["refused"] > 0


@pytest.mark.parametrize("whole", [models.a_state_dict, models.an_old_state_dict], ids=["zip", "before 1.6"])
def test_a_state_dict_is_read_or_refused(whole: Callable[[], bytes]) -> None:
    outcomes = fuzz_door(Door.OPTIMIZER_STATE_DICT, mutated(whole()), seconds=DOOR_S)

    assert outcomes["refused"] > 0


def test_safetensors_are_read_or_refused() -> None:
    outcomes = fuzz_door(
        Door.OPTIMIZER_SAFETENSORS, strange_safetensors() | mutated(models.a_safetensors_file()), seconds=DOOR_S
    )

    assert outcomes["refused"] > 0


def test_a_torch_program_is_read_or_refused() -> None:
    outcomes = fuzz_door(Door.OPTIMIZER_PROGRAM, mutated(models.a_program()) | strange_programs(), seconds=DOOR_S)

    assert outcomes["refused"] > 0


def test_a_damaged_tflite_file_of_images_is_read_or_refused() -> None:
    outcomes = fuzz_door(Door.OPTIMIZER_TFLITE, mutated(models.a_tflite_convnet()), seconds=DOOR_S)

    assert outcomes["refused"] > 0


def test_weights_beside_a_model_are_taken_in_or_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"secret!!" * 200)
    (folder / "weights.bin").write_bytes(b"w" * 2000)
    (folder / "link.bin").symlink_to(secret)
    taken: Counter[bool] = Counter()

    def check(entry: dict[str, str]) -> None:
        with contextlib.suppress(ModelError):
            assert b"secret!!" not in gather(weights_beside(entry), "fuzzed", folder=folder)
            taken[True] += 1

    record("weights beside a model", fuzz(strange_places(), check, seconds=DOOR_S))
    record("weights beside a model, taken in", taken[True])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SmallServer]:
    """A server with one release, one device that was offered it, and one honest neighbour."""
    made = a_server(tmp_path)
    made.publish(made.desk(tmp_path / "desk"), a_release())
    yield made
    made.engine.dispose()


def test_what_no_device_signed_leaves_no_trace(server: SmallServer) -> None:
    device = server.enroll("pi-1")
    server.offer(device, "digits@1.0.0")
    before = _stored(server)
    known = st.sampled_from([device_topic(DEFAULT_TENANT, DeviceId("pi-1"), channel) for channel in FROM_DEVICE])
    topics = known | st.text(max_size=40) | st.lists(st.text(max_size=8), min_size=5, max_size=5).map("/".join)
    sealed = device.seal(1, ReportKind.SKETCH, {})
    requests = hostile(ChunkRequest) | hostile(MetadataRequest)
    bodies = st.binary(max_size=200) | mutated(sealed).filter(lambda data: not _says_the_same(data, sealed))
    shaped = (requests | hostile(Envelope)).map(canonical)

    def check(messages: list[tuple[str, bytes]]) -> None:
        _deliver(server, messages)
        server.courier.tally()
        assert _stored(server) == before

    record("inbox, unsigned", fuzz(st.lists(st.tuples(topics, bodies | shaped), max_size=4), check, seconds=LONG_S))


def test_a_hostile_device_takes_nobody_elses_reports_along(server: SmallServer) -> None:
    bad, honest = server.enroll("pi-1"), server.enroll("pi-2")
    sequence = iter(range(1, 1 << 40))
    kinds = st.sampled_from(list(REPORTS)).flatmap(lambda kind: st.tuples(st.just(kind), hostile(REPORTS[kind])))

    def check(report: tuple[ReportKind, object]) -> None:
        number = next(sequence)
        kind, plain = report
        signed = _sealed(bad, number, kind, canonical(plain))
        beat = honest.seal(number, ReportKind.HEARTBEAT, _honest_heartbeat())
        committed = server.inbox.counts.get("committed", 0)
        server.inbox.take([(bad.topic(), signed), (honest.topic(), beat)])
        assert server.inbox.counts["committed"] > committed

    record("inbox, signed and hostile", fuzz(kinds, check, seconds=LONG_S))
    record("inbox counts", server.inbox.counts)
    assert server.api.get("/api/v1/devices").status_code == 200


def _deliver(server: SmallServer, messages: list[tuple[str, bytes]]) -> None:
    """Do what the server does with messages from the broker."""
    parsed = [(read_topic(topic), body) for topic, body in messages]
    ours = [(topic, body) for topic, body in parsed if topic is not None and topic.channel in FROM_DEVICE]
    server.inbox.take([(topic, body) for topic, body in ours if topic.channel is Channel.REPORT])
    for topic, body in ours:
        if topic.channel is not Channel.REPORT:
            server.courier.answer(topic, body)


def _stored(server: SmallServer) -> list[list[object]]:
    """Return every row of every table."""
    with reading(server.engine) as session:
        return [list(session.execute(select(table)).all()) for table in Row.metadata.sorted_tables]


def _says_the_same(data: bytes, sealed: bytes) -> bool:
    """Return whether damaged bytes still hold the same signed report: the number of the schema is not signed."""
    try:
        return replace(decode(Envelope, data), schema=1) == decode(Envelope, sealed)
    except DecodeError:
        return False


def _sealed(device: EnrolledDevice, sequence: int, kind: ReportKind, body: bytes) -> bytes:
    signed = signed_bytes(tenant=DEFAULT_TENANT, device=device.id, boot=BOOT, sequence=sequence, kind=kind, body=body)
    return encode(Envelope(boot=BOOT, sequence=sequence, kind=kind, body=body, signature=device.key.sign(signed)))


def _honest_heartbeat() -> Heartbeat:
    from tests.fleet_server.broker.test_inbox import a_heartbeat

    return a_heartbeat()


def _exchange(agent: RunningServer, data: bytes) -> bytes:
    """Send the bytes, end our half, and return what comes back."""
    with agent.socket() as connection, contextlib.suppress(ConnectionError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        started = time.monotonic()
        answer = b""
        while part := connection.recv(65536):
            answer += part
        assert time.monotonic() - started < 5
        return answer
    return b""


def _binary_request() -> bytes:
    rows = TinyModel().rows(1)
    tensor = {"name": INPUT, "datatype": "FP32", "shape": [1, 8], "parameters": {"binary_data_size": rows.nbytes}}
    return orjson.dumps({"inputs": [tensor]}) + rows.tobytes()


def _is_json(plain: object) -> bool:
    """Return whether orjson can spell it."""
    try:
        orjson.dumps(plain)
    except (TypeError, ValueError):
        return False
    return True
