"""The Open Inference Protocol, version 2, between bytes and arrays: JSON and the binary tensor extension.

An infer request is JSON, or JSON of ``Inference-Header-Content-Length`` bytes followed by the raw tensors in the order
of the inputs that state ``parameters.binary_data_size``. An output is raw when the request asks so for it
(``parameters.binary_data``) or for all (``parameters.binary_data_output``).
https://kserve.github.io/website/docs/concepts/architecture/data-plane/v2-protocol

Keys that the protocol does not define are passed over, as it asks; everything it does define is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np
import orjson

from contracts.codec import Plain
from contracts.ids import split_release_id
from contracts.manifest import ArtifactManifest
from contracts.preprocessing import DTYPES
from edge_agent.errors import InvalidRequest
from edge_agent.inference.validation import check_shape, check_together, check_type, find_spec, from_bytes, from_json
from edge_agent.version import AGENT_VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from contracts.ids import ReleaseId
    from contracts.tensors import TensorSpec
    from edge_agent.inference.engine import Tensors

JsonMap: TypeAlias = "Mapping[str, object]"


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedOutput:
    """One output that the client asked for, raw or as JSON."""

    name: str
    raw: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class InferRequest:
    """A request whose inputs the model takes."""

    id: str | None
    inputs: Tensors
    outputs: tuple[WantedOutput, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InferAnswer:
    """The bytes of an answer; ``json_bytes`` is the length of its JSON where raw tensors follow it, else 0."""

    body: bytes
    json_bytes: int = 0


def read_infer_request(manifest: ArtifactManifest, body: bytes, json_bytes: int | None = None) -> InferRequest:
    """Return the checked request.

    Args:
        manifest: of the model that is to answer.
        body: the whole HTTP body.
        json_bytes: the value of ``Inference-Header-Content-Length``; None where the header is absent.

    Raises:
        InvalidRequest: anything about it that the model or the protocol does not take.
    """
    if json_bytes is not None and not 0 < json_bytes <= len(body):
        raise InvalidRequest(f"Inference-Header-Content-Length is {json_bytes}, the body has {len(body)} bytes")
    head = _json(body if json_bytes is None else body[:json_bytes])
    raw = memoryview(body)[len(body) if json_bytes is None else json_bytes :]
    identifier = head.get("id")
    if not (identifier is None or isinstance(identifier, str)):
        raise InvalidRequest("'id' must be text")
    return InferRequest(
        id=identifier,
        inputs=_inputs(manifest.inputs, head, raw),
        outputs=_wanted_outputs(manifest.outputs, head),
    )


def write_infer_answer(release: ReleaseId, request: InferRequest, outputs: Tensors) -> InferAnswer:
    """Return the answer's bytes: the outputs asked for, and the release that gave them."""
    model, version = split_release_id(release)
    raw = [np.ascontiguousarray(outputs[wanted.name]).tobytes() for wanted in request.outputs if wanted.raw]
    head: dict[str, object] = {"model_name": model, "model_version": version}
    if request.id is not None:
        head["id"] = request.id
    head["outputs"] = [_output(wanted, outputs[wanted.name]) for wanted in request.outputs]
    text = orjson.dumps(head, option=orjson.OPT_SERIALIZE_NUMPY)
    if not raw:
        return InferAnswer(body=text)
    return InferAnswer(body=b"".join((text, *raw)), json_bytes=len(text))


def server_metadata() -> Plain:
    """Return what ``GET /v2`` answers."""
    return {"name": "edgeship", "version": AGENT_VERSION, "extensions": ["binary_tensor_data"]}


def _json(text: bytes) -> JsonMap:
    try:
        head = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"the body is not JSON (NaN and infinities are not): {error}") from error
    if not isinstance(head, dict):
        raise InvalidRequest("the body must be a JSON object with 'inputs'")
    return head


def _inputs(specs: Sequence[TensorSpec], head: JsonMap, raw: memoryview) -> Tensors:
    inputs: dict[str, NDArray[np.generic]] = {}
    at = 0
    for given in _maps(head, "inputs"):
        spec = find_spec(specs, "input", given.get("name"))
        if spec.name in inputs:
            raise InvalidRequest(f"input {spec.name!r} is given twice")
        check_type(spec, given.get("datatype"))
        shape = check_shape(spec, given.get("shape"))
        size = _raw_size(spec, given)
        if size is None:
            inputs[spec.name] = from_json(spec, given.get("data"), shape)
        else:
            inputs[spec.name] = from_bytes(spec, raw[at : at + size], shape)
            at += size
    if at != len(raw):
        raise InvalidRequest(f"{len(raw)} bytes follow the JSON, its inputs state {at} (parameters.binary_data_size)")
    check_together(specs, inputs)
    return inputs


def _raw_size(spec: TensorSpec, given: JsonMap) -> int | None:
    size = _parameters(given).get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise InvalidRequest(f"input {spec.name!r}: binary_data_size must be a number of bytes")
    if "data" in given:
        raise InvalidRequest(f"input {spec.name!r} has both data and binary_data_size; send one of them")
    return size


def _wanted_outputs(specs: Sequence[TensorSpec], head: JsonMap) -> tuple[WantedOutput, ...]:
    all_raw = _flag(_parameters(head), "binary_data_output", otherwise=False)
    if head.get("outputs") in (None, []):
        return tuple(WantedOutput(name=spec.name, raw=all_raw) for spec in specs)
    wanted = tuple(
        WantedOutput(
            name=find_spec(specs, "output", asked.get("name")).name,
            raw=_flag(_parameters(asked), "binary_data", otherwise=all_raw),
        )
        for asked in _maps(head, "outputs")
    )
    if len({output.name for output in wanted}) != len(wanted):
        raise InvalidRequest("an output is asked for twice")
    return wanted


def _maps(head: JsonMap, key: str) -> list[JsonMap]:
    things = head.get(key)
    if not isinstance(things, list) or not all(isinstance(thing, dict) for thing in things):
        raise InvalidRequest(f"{key!r} must be a list of tensors, each a JSON object")
    return cast("list[JsonMap]", things)


def _parameters(owner: JsonMap) -> JsonMap:
    parameters = owner.get("parameters")
    if parameters is None:
        return {}
    if not isinstance(parameters, dict):
        raise InvalidRequest("'parameters' must be a JSON object")
    return parameters


def _flag(parameters: JsonMap, name: str, *, otherwise: bool) -> bool:
    flag = parameters.get(name, otherwise)
    if not isinstance(flag, bool):
        raise InvalidRequest(f"{name} must be true or false")
    return flag


def _output(wanted: WantedOutput, values: NDArray[np.generic]) -> JsonMap:
    described = {"name": wanted.name, "datatype": _ELEMENTS[values.dtype], "shape": values.shape}
    if wanted.raw:
        return {**described, "parameters": {"binary_data_size": values.nbytes}}
    return {**described, "data": np.ascontiguousarray(values).reshape(-1)}


_ELEMENTS = {dtype: element for element, dtype in DTYPES.items()}
