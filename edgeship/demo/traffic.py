"""Asking the agents: the Open Inference Protocol v2 over HTTP, as any client would speak it."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np
import orjson

from edgeship.demo.errors import StepFailed

if TYPE_CHECKING:
    from numpy.typing import NDArray

Address = tuple[str, int]


@dataclass(slots=True, kw_only=True)
class Client:
    """One keep-alive connection to one agent."""

    address: Address
    model: str
    connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        """Prepare the connection; it opens with the first request."""
        self.connection = http.client.HTTPConnection(*self.address, timeout=20)

    def infer(self, images: NDArray[np.float32]) -> NDArray[np.int64]:
        """Return the digit that the agent names for each image.

        Args:
            images: shape (n, 1, 8, 8), values 0 to 16.

        Raises:
            StepFailed: the agent answered something else than 200.
        """
        tensor = {"name": "image", "shape": list(images.shape), "datatype": "FP32", "data": images.ravel().tolist()}
        body = orjson.dumps({"inputs": [tensor]})
        headers = {"Content-Type": "application/json"}
        self.connection.request("POST", f"/v2/models/{self.model}/infer", body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise StepFailed(f"the agent at port {self.address[1]} answered {answer.status}: {content[:200].decode()}")
        output = orjson.loads(content)["outputs"][0]
        scores = np.asarray(output["data"], dtype=np.float32).reshape(output["shape"])
        return np.asarray(scores.argmax(axis=1), dtype=np.int64)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def served_accuracy(address: Address, model: str, images: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the share of images whose digit the agent names, asked one by one."""
    client = Client(address=address, model=model)
    answers = np.concatenate([client.infer(images[place : place + 1]) for place in range(len(images))])
    client.close()
    return float((answers == labels).mean())


def shifted(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scans as a dirty, badly lit scanner gives them: grey where it was white, half the contrast."""
    return np.asarray(np.clip(images * 0.5 + 5.0, 0.0, 16.0), dtype=np.float32)


@dataclass(slots=True, kw_only=True)
class Traffic:
    """Steady requests to several agents from one background thread, until the ``with`` block ends.

    Each agent gets ``rows_s`` single-image requests a second, drawn at random from its images.
    """

    model: str
    images: Mapping[Address, NDArray[np.float32]]
    rows_s: float = 40.0
    seed: int = 7
    sent: dict[Address, int] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start sending."""
        self.thread = threading.Thread(target=self._send, name="traffic", daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Stop sending."""
        self.stopping.set()
        if self.thread:
            self.thread.join()

    def _send(self) -> None:
        chance = np.random.default_rng(self.seed)
        clients = {address: Client(address=address, model=self.model) for address in self.images}
        while not self.stopping.wait(1.0 / self.rows_s):
            for address, client in clients.items():
                place = int(chance.integers(len(self.images[address])))
                try:
                    client.infer(self.images[address][place : place + 1])
                    self.sent[address] = self.sent.get(address, 0) + 1
                except (OSError, http.client.HTTPException, StepFailed) as error:
                    self.failed.append(str(error))
                    client.close()
        for client in clients.values():
            client.close()
