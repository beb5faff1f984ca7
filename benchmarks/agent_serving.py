"""What does the agent add to one request: in process, and over HTTP in JSON and binary, beside ONNX Runtime alone?

Each child process (``--order``) times raw ONNX Runtime, the agent's served model, and an agent's inference server
that runs in a process of its own (``--serve``) and is asked on one keep-alive connection.
"""

from __future__ import annotations

import argparse
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO, Any

from benchmarks.harness import PROCESSES, Bar, alternate, at_most, finish, in_fresh_processes, options, reported

QUESTION = "What does the agent add to one single-row request?"
ADDED_LIMIT_US = 30.0
RAW, AGAIN, IN_PROCESS, JSON, BINARY = "raw ORT", "raw ORT again", "in process", "HTTP, JSON", "HTTP, binary"
WARM_UP = 100
PATH = "/v2/models/digits/infer"


def measure(*, rounds: int, seed: int) -> list[Bar]:
    """Return the bars."""
    arguments = ["--rounds", str(rounds)]
    answers = in_fresh_processes("benchmarks.agent_serving", arguments, processes=PROCESSES, seed=seed)

    def added_us(side: str) -> list[float]:
        return [(answer[side] - answer[RAW]) * 1e6 for answer in answers]

    return [
        at_most("in process, added", added_us(IN_PROCESS), unit="us", limit=ADDED_LIMIT_US, peer=RAW),
        reported("raw ORT again, added (A/A)", added_us(AGAIN), unit="us", peer=RAW),
        reported("HTTP, JSON, added", added_us(JSON), unit="us", peer=RAW),
        reported("HTTP, binary, added", added_us(BINARY), unit="us", peer=RAW),
        *(
            reported(f"{side}, one row", [answer[side] * 1e6 for answer in answers], unit="us")
            for side in (RAW, IN_PROCESS, JSON, BINARY)
        ),
    ]


def child(arguments: argparse.Namespace) -> dict[str, float]:
    """Return the p50 seconds of one row for each side, all alternating in this process."""
    server = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.agent_serving", "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    port = int(_pipe(server.stdout).readline())
    calls = {RAW: raw(), AGAIN: raw(), IN_PROCESS: in_process(), **over_http(port)}
    sides = {side: timed(call) for side, call in calls.items()}
    for call in sides.values():
        for _ in range(WARM_UP):
            call()
    medians = alternate(sides, rounds=arguments.rounds, order=arguments.order)
    _pipe(server.stdin).close()
    server.wait()
    return medians


def tiny() -> Any:
    """Return the model: 64 inputs, 128 hidden, 10 classes, made here from a seed."""
    from tests.builders import TinyModel

    return TinyModel(features=64, hidden=128, classes=10)


def raw() -> Callable[[], object]:
    """Return one run of ONNX Runtime itself on one thread."""
    import onnxruntime

    from tests.builders import INPUT, onnx_bytes

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx_bytes(tiny()), settings, providers=["CPUExecutionProvider"])
    row = tiny().rows(1)
    return lambda: session.run(None, {INPUT: row})


def in_process() -> Callable[[], object]:
    """Return one request to the agent's served model."""
    from tests.builders import INPUT

    model, row = served(), tiny().rows(1)
    return lambda: model.infer({INPUT: row})


def over_http(port: int) -> dict[str, Callable[[], object]]:
    """Return one request over HTTP in each encoding, its body made before."""
    from tests.builders import INPUT

    row = tiny().rows(1)
    tensor = {"name": INPUT, "datatype": "FP32", "shape": [1, row.shape[1]]}
    text = json.dumps({"inputs": [{**tensor, "data": row.ravel().tolist()}]}).encode()
    sized = {**tensor, "parameters": {"binary_data_size": row.nbytes}}
    head = json.dumps({"inputs": [sized], "parameters": {"binary_data_output": True}}).encode()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def ask(body: bytes, headers: dict[str, str]) -> bytes:
        connection.request("POST", PATH, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"the agent answered {answer.status}: {content[:200]!r}")
        return content

    return {
        JSON: lambda: ask(text, {}),
        BINARY: lambda: ask(head + row.tobytes(), {"Inference-Header-Content-Length": str(len(head))}),
    }


def served() -> Any:
    """Return the agent's served model of it."""
    from contracts.artifact import read_artifact
    from edge_agent.inference.served_model import ServedModel
    from tests.builders import a_tiny_onnx_artifact

    return ServedModel.open(read_artifact(a_tiny_onnx_artifact(tiny())))


def serve() -> None:
    """Serve on a free port until stdin ends; print the port."""
    from tests.edge_agent.inference.running_server import running_server

    with running_server() as running:
        running.models.put(served())
        print(running.port, flush=True)
        sys.stdin.read()


def timed(call: Callable[[], object]) -> Callable[[], float]:
    """Return the call with a stopwatch around it, seconds."""

    def clocked() -> float:
        started = time.perf_counter()
        call()
        return time.perf_counter() - started

    return clocked


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise SystemExit("the server's pipe is not there")
    return pipe


def child_arguments() -> argparse.Namespace:
    """Return what the parent asked this child for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--order", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve()
        sys.exit(0)
    if "--order" in sys.argv:
        print(json.dumps(child(child_arguments())))
        sys.exit(0)
    chosen = options(QUESTION)
    sys.exit(finish(QUESTION, measure(rounds=200 if chosen.quick else 2000, seed=chosen.seed), chosen))
