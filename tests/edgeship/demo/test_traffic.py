"""Asking an agent: the demo's client against the agent's own server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.artifact import read_artifact
from edge_agent.inference.served_model import ServedModel
from edgeship.demo.errors import StepFailed
from edgeship.demo.narration import wait_until
from edgeship.demo.traffic import Address, Client, Traffic, served_accuracy, shifted
from tests.builders import TinyModel, a_tiny_onnx_artifact
from tests.edge_agent.inference.running_server import RunningServer, running_server


class EchoAgent(BaseHTTPRequestHandler):
    """Answers the digit that stands in the first pixel of each image, by the Open Inference Protocol."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        import orjson

        request = orjson.loads(self.rfile.read(int(self.headers["Content-Length"])))
        tensor = request["inputs"][0]
        assert (tensor["name"], tensor["datatype"]) == ("image", "FP32")
        images = np.asarray(tensor["data"], dtype=np.float32).reshape(tensor["shape"])
        scores = np.eye(10)[images[:, 0, 0, 0].astype(int)]
        output = {"name": "score", "shape": [len(images), 10], "datatype": "FP32", "data": scores.ravel().tolist()}
        self._answer(200 if self.path == "/v2/models/digits/infer" else 404, orjson.dumps({"outputs": [output]}))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name for it)
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[Address]:
    with ThreadingHTTPServer(("127.0.0.1", 0), EchoAgent) as server:
        server.daemon_threads = True  # a connection that a failed test left open must not hold up the end
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield "127.0.0.1", server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def agent() -> Iterator[RunningServer]:
    with running_server() as server:
        served = ServedModel.open(read_artifact(a_tiny_onnx_artifact(TinyModel())))
        server.sketcher.watch(served)
        server.models.put(served)
        yield server


def images_of(*names: int) -> NDArray[np.float32]:
    """Return one image a name, the name in its first pixel."""
    images = np.zeros((len(names), 1, 8, 8), dtype=np.float32)
    images[:, 0, 0, 0] = names
    return images


def test_a_client_reads_the_digit_of_each_image(address: Address) -> None:
    client = Client(address=address, model="digits")

    answers = client.infer(images_of(7, 0, 3))
    client.close()

    assert answers.tolist() == [7, 0, 3]


def test_served_accuracy_is_the_share_that_is_named_right(address: Address) -> None:
    labels = np.asarray([1, 2, 3, 9], dtype=np.int64)

    assert served_accuracy(address, "digits", images_of(1, 2, 3, 4), labels) == 0.75


def test_an_agent_that_refuses_is_quoted(agent: RunningServer) -> None:
    client = Client(address=("127.0.0.1", agent.port), model="digits")

    with pytest.raises(StepFailed, match=f"the agent at port {agent.port} answered 400: .*image"):
        client.infer(images_of(1))
    client.close()


def test_a_model_that_is_not_served_is_quoted(agent: RunningServer) -> None:
    client = Client(address=("127.0.0.1", agent.port), model="faces")

    with pytest.raises(StepFailed, match=r"answered 404: .*faces"):
        client.infer(images_of(1))
    client.close()


def test_a_connection_outlives_a_refusal(address: Address) -> None:
    client = Client(address=address, model="digits")
    stranger = Client(address=address, model="faces")
    client.infer(images_of(1))
    with pytest.raises(StepFailed):
        stranger.infer(images_of(1))
    stranger.close()

    assert client.infer(images_of(2)).tolist() == [2]
    client.close()


def test_a_dirty_scanner_greys_the_white_halves_the_contrast_and_stays_in_range() -> None:
    scans = np.asarray([0.0, 8.0, 16.0], dtype=np.float32)

    assert shifted(scans).tolist() == [5.0, 9.0, 13.0]
    assert shifted(np.asarray([40.0], dtype=np.float32)).tolist() == [16.0]


def test_traffic_reaches_every_agent_until_the_block_ends(address: Address) -> None:
    with Traffic(model="digits", images={address: images_of(1, 2)}, rows_s=400.0) as traffic:
        assert wait_until(lambda: traffic.sent.get(address, 0) >= 5, patience_s=10, pause_s=0.01)

    sent = traffic.sent[address]
    time.sleep(0.02)
    assert traffic.sent[address] == sent
    assert traffic.failed == []


def test_traffic_counts_what_was_not_answered_and_goes_on(address: Address) -> None:
    with Traffic(model="faces", images={address: images_of(1)}, rows_s=400.0) as traffic:
        assert wait_until(lambda: len(traffic.failed) >= 3, patience_s=10, pause_s=0.01)

    assert traffic.sent == {}
    assert traffic.failed[0].startswith(f"the agent at port {address[1]} answered 404")
