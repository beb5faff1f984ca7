"""What each HTTP request means: from a complete request to a complete response, without a socket.

    GET  /v2, /v2/health/live, /v2/health/ready, /metrics
    GET  /v2/models/M[/versions/V][/ready]
    POST /v2/models/M[/versions/V]/infer

A client's mistake is a 4xx with one sentence under ``error``; only a model that fails on inputs that fit its own
manifest is a 500.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from contracts.ids import ModelName, split_release_id
from contracts.preprocessing import DTYPES
from edge_agent.errors import AgentError, InferenceFailed, InvalidRequest, ModelNotServed
from edge_agent.inference.protocol import read_infer_request, server_metadata, write_infer_answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.codec import Plain
    from contracts.ids import ReleaseId
    from edge_agent.drift.sketcher import Sketcher
    from edge_agent.inference.engine import Tensors
    from edge_agent.inference.meter import Meter
    from edge_agent.inference.served_model import ServedModel
    from edge_agent.inference.swap import ServedModels

log = logging.getLogger(__name__)

JSON = b"application/json"
BINARY = b"application/octet-stream"
PROMETHEUS = b"text/plain; version=0.0.4"
QUICK_MS = 1.0
"""What is expected to take longer runs beside the event loop, so that health and metrics stay live."""

STATUSES: tuple[tuple[type[AgentError], int], ...] = (
    (InvalidRequest, 400),
    (ModelNotServed, 404),
    (InferenceFailed, 500),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One whole HTTP request; ``json_bytes`` is ``Inference-Header-Content-Length`` (None: no such header)."""

    method: bytes
    target: bytes
    body: bytes = b""
    json_bytes: int | None = None
    keep_alive: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One whole HTTP response; ``json_bytes`` as in the request, 0 for none; ``allow`` goes with a 405."""

    status: int
    body: bytes
    content_type: bytes = JSON
    json_bytes: int = 0
    allow: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the sketcher is told about an answered request, once the client has its answer."""

    release: ReleaseId
    inputs: Tensors
    outputs: Tensors
    latency_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """A path under /v2/models."""

    model: ModelName
    version: str | None
    verb: str


class Endpoints:
    """Answers requests from the served models; tells the meter and the sketcher. Safe to use from several threads."""

    def __init__(
        self,
        models: ServedModels,
        sketcher: Sketcher,
        meter: Meter,
        *,
        seconds: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._models = models
        self._sketcher = sketcher
        self._meter = meter
        self._seconds = seconds
        self._watched: set[ReleaseId] = set()

    def answer(self, request: Request) -> tuple[Response, Observation | None]:
        """Return the response, and what to ``observe`` after it is sent. Raises nothing."""
        try:
            route = _route(request.target)
            if route is not None and route.verb == "infer":
                return self._infer(request, route)
            return self._look_up(request, route), None
        except AgentError as error:
            return self._refusal(error), None
        except Exception:
            log.exception("request failed")
            return error_response(500, "the agent failed to answer; its log says why"), None

    def observe(self, observation: Observation) -> None:
        """Count the answered request into its release's sketch."""
        self._sketcher.observe(observation.release, observation.inputs, observation.outputs, observation.latency_ms)

    def is_quick(self, request: Request) -> bool:
        """Return whether answering is expected to take less than ``QUICK_MS``: one row's time x rows that fit."""
        if request.method != b"POST":
            return True
        try:
            route = _route(request.target)
            served = self._models.get(route.model) if route else None
        except ModelNotServed:
            return True
        if served is None:
            return True
        rows = max(1, len(request.body) // _row_bytes(served))
        return served.row_ms * rows < QUICK_MS

    def _infer(self, request: Request, route: _Route) -> tuple[Response, Observation | None]:
        if request.method != b"POST":
            return _not_allowed(b"POST"), None
        started_s = self._seconds()
        with self._models.borrow(route.model) as served:
            _check_version(served, route)
            asked = read_infer_request(served.manifest, request.body, request.json_bytes)
            self._watch(served)
            try:
                outputs = served.answer(asked.inputs)
            except InferenceFailed as error:
                log.error("inference failed", extra={"release": served.release, "reason": str(error)})  # noqa: TRY400 - the reason is a sentence; a stack trace of the runtime adds nothing
                self._meter.failed(served.release)
                self._sketcher.failed(served.release)
                raise
            release = served.release
        answer = write_infer_answer(release, asked, outputs.served)
        latency_ms = (self._seconds() - started_s) * 1000.0
        self._meter.answered(release, latency_ms)
        response = Response(
            status=200,
            body=answer.body,
            content_type=BINARY if answer.json_bytes else JSON,
            json_bytes=answer.json_bytes,
        )
        seen = Observation(release=release, inputs=asked.inputs, outputs=outputs.watched, latency_ms=latency_ms)
        return response, seen

    def _look_up(self, request: Request, route: _Route | None) -> Response:
        if request.method != b"GET":
            return _not_allowed(b"GET")
        if route is not None:
            served = self._models.get(route.model)
            _check_version(served, route)
            if route.verb == "ready":
                return _json(200, {"name": served.manifest.model, "ready": True})
            return _json(200, served.description())
        path = request.target.partition(b"?")[0].rstrip(b"/")
        if path == b"/metrics":
            text = self._meter.prometheus_text()
            return Response(status=200, body=text.encode(), content_type=PROMETHEUS)
        return self._about_server(path)

    def _about_server(self, path: bytes) -> Response:
        if path == b"/v2":
            return _json(200, server_metadata())
        if path == b"/v2/health/live":
            return _json(200, {"live": True})
        if path == b"/v2/health/ready":
            ready = bool(self._models.releases())
            return _json(200 if ready else 503, {"ready": ready})
        return error_response(404, "no such path; models answer at /v2/models/NAME, POST /v2/models/NAME/infer")

    def _watch(self, served: ServedModel) -> None:
        if served.release not in self._watched:
            self._sketcher.watch(served)
            self._watched.add(served.release)

    def _refusal(self, error: AgentError) -> Response:
        status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
        if status < 500:
            self._meter.refused()
        return error_response(status, str(error))


def error_response(status: int, sentence: str) -> Response:
    """Return the protocol's error object."""
    return _json(status, {"error": sentence})


def _json(status: int, plain: Plain) -> Response:
    return Response(status=status, body=orjson.dumps(plain))


def _not_allowed(allow: bytes) -> Response:
    sentence = f"this path answers {allow.decode()} only"
    return Response(status=405, body=orjson.dumps({"error": sentence}), allow=allow)


def _route(target: bytes) -> _Route | None:
    """Return what a path under /v2/models names; None for any other path."""
    if not target.startswith(b"/v2/models/"):
        return None
    path = target.partition(b"?")[0].decode("latin-1").removeprefix("/v2/models/")
    name, *rest = path.removesuffix("/").split("/")
    version = None
    if rest[:1] == ["versions"] and len(rest) >= 2:
        version, rest = rest[1], rest[2:]
    if len(rest) > 1 or (rest and rest[0] not in ("infer", "ready")):
        raise ModelNotServed("no such path under the model; it answers /infer, /ready and its own path")
    return _Route(model=ModelName(name), version=version, verb=rest[0] if rest else "")


def _check_version(served: ServedModel, route: _Route) -> None:
    _, version = split_release_id(served.release)
    if route.version is not None and route.version != version:
        raise ModelNotServed(f"model {route.model!r} serves version {version}, not {route.version[:80]!r}")


def _row_bytes(served: ServedModel) -> int:
    return sum(spec.elements_per_row * DTYPES[spec.element].itemsize for spec in served.manifest.inputs)
