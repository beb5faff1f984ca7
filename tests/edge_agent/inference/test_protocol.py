"""The Open Inference Protocol: JSON and binary agree, and whatever is wrong is a 400 that names it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from contracts.tensors import ElementType
from edge_agent.clock import SystemClock
from edge_agent.drift.sketcher import Sketcher
from edge_agent.inference.endpoints import Endpoints, Request, Response
from edge_agent.inference.meter import Meter
from edge_agent.inference.served_model import ServedModel
from edge_agent.inference.swap import ServedModels
from tests.builders import INPUT, OUTPUT, TinyModel
from tests.edge_agent.inference.artifacts import a_served_model, an_echo_artifact

TINY = TinyModel()
ROW = TINY.rows(1)
MODELS = ServedModels()
MODELS.put(a_served_model())
ENDPOINTS = Endpoints(MODELS, Sketcher(SystemClock()), Meter())
PATH = b"/v2/models/digits/infer"


def ask(body: bytes, *, json_bytes: int | None = None, path: bytes = PATH) -> Response:
    """Return the response to an infer request."""
    response, _ = ENDPOINTS.answer(Request(method=b"POST", target=path, body=body, json_bytes=json_bytes))
    return response


def tensor(**changes: object) -> dict[str, object]:
    """Return a right input tensor with some keys changed; None takes one away."""
    right = {"name": INPUT, "datatype": "FP32", "shape": [1, 8], "data": ROW.ravel().tolist()}
    return {key: value for key, value in {**right, **changes}.items() if value is not None}


def request(*tensors: dict[str, object], **more: object) -> bytes:
    """Return a request's JSON."""
    return json.dumps({"inputs": list(tensors), **more}).encode()


def binary(rows: NDArray[np.generic], *, datatype: str = "FP32", padding: int = 0) -> tuple[bytes, int]:
    """Return the body and the JSON's length of a binary request; ``padding`` spaces shift the raw bytes."""
    raw = rows.tobytes()
    asked = tensor(data=None, datatype=datatype, shape=list(rows.shape), parameters={"binary_data_size": len(raw)})
    head = request(asked, parameters={"binary_data_output": True}) + b" " * padding
    return head + raw, len(head)


def raw_answer(response: Response) -> NDArray[np.float32]:
    """Return the raw tensor that follows the answer's JSON."""
    return np.frombuffer(response.body[response.json_bytes :], dtype="<f4")


def sentence(response: Response) -> str:
    """Return what the error says."""
    return str(json.loads(response.body)["error"])


def test_the_answer_names_model_version_request_and_tensor() -> None:
    answer = json.loads(ask(request(tensor(), id="q-1")).body)

    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("digits", "1.0.0", "q-1")
    assert [(out["name"], out["datatype"], out["shape"]) for out in answer["outputs"]] == [(OUTPUT, "FP32", [1, 3])]
    np.testing.assert_allclose(answer["outputs"][0]["data"], TINY.answers(ROW)[0], atol=1e-5)


@pytest.mark.parametrize("padding", [0, 1, 2, 3], ids="aligned to {}".format)
def test_json_and_binary_give_the_same_answer_bit_for_bit(padding: int) -> None:
    rows = TINY.rows(5, seed=3)
    body, json_bytes = binary(rows, padding=padding)

    raw = ask(body, json_bytes=json_bytes)
    plain = json.loads(ask(request(tensor(shape=[5, 8], data=rows.ravel().tolist()))).body)

    assert raw.status == 200
    assert json.loads(raw.body[: raw.json_bytes])["outputs"][0]["parameters"] == {"binary_data_size": 5 * 3 * 4}
    np.testing.assert_array_equal(raw_answer(raw), np.array(plain["outputs"][0]["data"], dtype=np.float32))


def test_nested_and_flat_lists_are_the_same() -> None:
    rows = TINY.rows(2)

    flat = ask(request(tensor(shape=[2, 8], data=rows.ravel().tolist())))
    nested = ask(request(tensor(shape=[2, 8], data=rows.tolist())))

    assert flat.body == nested.body


def test_an_output_is_raw_where_asked_for_only() -> None:
    raw = ask(request(tensor(), outputs=[{"name": OUTPUT, "parameters": {"binary_data": True}}]))
    plain = ask(request(tensor(), outputs=[{"name": OUTPUT}]))

    assert raw.json_bytes > 0
    assert plain.json_bytes == 0
    np.testing.assert_allclose(raw_answer(raw), json.loads(plain.body)["outputs"][0]["data"], atol=1e-7)


RAW = {"parameters": {"binary_data_size": 32}, "data": None}
WRONG = {
    "no JSON": (b"hello", "not JSON"),
    "NaN": (request(tensor(data=[float("nan")] * 8)), "NaN"),
    "infinity": (request(tensor(data=[float("inf")] * 8)), "not JSON"),
    "a list": (b"[]", "JSON object"),
    "no inputs": (b"{}", "'inputs' must be a list"),
    "inputs of text": (b'{"inputs": ["x"]}', "'inputs' must be a list"),
    "no tensors": (request(), "input 'x' is missing"),
    "unknown name": (request(tensor(name="y")), "no input 'y'; the model's are 'x'"),
    "no name": (request(tensor(name=None)), "no input None"),
    "twice": (request(tensor(), tensor()), "input 'x' is given twice"),
    "wrong type": (request(tensor(datatype="INT64")), "datatype is 'INT64', the model takes FP32"),
    "no type": (request(tensor(datatype=None)), "datatype is None"),
    "too narrow": (request(tensor(shape=[1, 7], data=[0.5] * 7)), r"shape is [1, 7], the model takes [-1, 8]"),
    "no batch": (request(tensor(shape=[8])), "shape is [8]"),
    "no rows": (request(tensor(shape=[0, 8], data=[])), "one row or more"),
    "less than none": (request(tensor(shape=[-1, 8])), "one row or more"),
    "shape of text": (request(tensor(shape=["1", 8])), "list of whole numbers"),
    "shape of truth": (request(tensor(shape=[True, 8])), "list of whole numbers"),
    "no shape": (request(tensor(shape=None)), "shape must be a list"),
    "too few values": (request(tensor(data=[0.5] * 7)), "7 values for shape [1, 8], which holds 8"),
    "too many values": (request(tensor(data=[0.5] * 9)), "9 values"),
    "no data": (request(tensor(data=None)), "data must be a list of numbers"),
    "data of text": (request(tensor(data=["0.5"] * 8)), "data holds str; FP32 takes numbers only"),
    "null": (request(tensor(data=[None] * 8)), "data holds NoneType"),
    "truth": (request(tensor(data=[True] * 8)), "data holds bool"),
    "one truth among numbers": (request(tensor(data=[0.5] * 7 + [True])), "data holds bool"),
    "ragged": (request(tensor(shape=[2, 8], data=[[0.5] * 9, [0.5] * 7])), "not nested as its shape"),
    "mixed depth": (request(tensor(shape=[2, 8], data=[[0.5] * 8, 0.5])), "not nested as its shape"),
    "too deep": (request(tensor(data=[[[0.5] * 8]])), "not nested as its shape"),
    "rows missing": (request(tensor(shape=[2, 8], data=[[0.5] * 8])), "data holds 1 rows"),
    "above the range": (request(tensor(data=[0.5] * 7 + [17])), "17 is above the model's stated range, 0 to 1"),
    "below the range": (request(tensor(data=[0.5] * 7 + [-0.01])), "-0.01 is below"),
    "too large for the type": (request(tensor(data=[0.5] * 7 + [1e39])), "too large for FP32"),
    "unknown output": (request(tensor(), outputs=[{"name": "logits"}]), "no output 'logits'"),
    "output twice": (request(tensor(), outputs=[{"name": OUTPUT}] * 2), "asked for twice"),
    "outputs of text": (request(tensor(), outputs="all"), "'outputs' must be a list"),
    "outputs of nothing": (request(tensor(), outputs=""), "'outputs' must be a list"),
    "id of a number": (request(tensor(), id=7), "'id' must be text"),
    "parameters of text": (request(tensor(parameters="raw")), "'parameters' must be"),
    "flag of text": (request(tensor(), parameters={"binary_data_output": "yes"}), "must be true or false"),
    "raw without bytes": (request(tensor(**RAW)), "0 bytes for shape"),
    "raw and data": (request(tensor(parameters={"binary_data_size": 32})), "both data and binary_data_size"),
    "raw of less than none": (
        request(tensor(data=None, parameters={"binary_data_size": -4})),
        "must be a number of bytes",
    ),
}


@pytest.mark.parametrize(("body", "words"), WRONG.values(), ids=WRONG)
def test_a_wrong_request_is_a_400_that_names_what_is_wrong(body: bytes, words: str) -> None:
    response = ask(body)

    assert response.status == 400
    assert words in sentence(response)
    assert "\n" not in sentence(response)


@pytest.mark.parametrize(
    ("json_bytes", "words"),
    [(0, "Inference-Header-Content-Length is 0"), (10**6, "the body has"), (20, "not JSON")],
)
def test_a_wrong_length_of_the_json_is_a_400(json_bytes: int, words: str) -> None:
    body, _ = binary(ROW)

    response = ask(body, json_bytes=json_bytes)

    assert response.status == 400
    assert words in sentence(response)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.5])
def test_a_binary_value_that_is_no_number_in_range_is_a_400(value: float) -> None:
    rows = np.full((1, 8), 0.5, dtype=np.float32)
    rows[0, 5] = value
    body, json_bytes = binary(rows)

    response = ask(body, json_bytes=json_bytes)

    assert response.status == 400
    assert "input 'x'" in sentence(response)


def test_bytes_that_no_tensor_states_are_a_400() -> None:
    body, json_bytes = binary(ROW)

    response = ask(body + b"more", json_bytes=json_bytes)

    assert response.status == 400
    assert "36 bytes follow the JSON, its inputs state 32" in sentence(response)


def test_a_long_name_is_cut_in_the_answer() -> None:
    assert len(sentence(ask(request(tensor(name="n" * 10_000))))) < 200


@pytest.mark.parametrize(
    ("element", "data", "words"),
    [
        (ElementType.INT8, [1, 2, 300], "INT8 holds -128 to 127"),
        (ElementType.INT64, [1, 2, 2**63], "does not fit INT64"),
        (ElementType.INT32, [1, 2, 2.0], "data holds float; INT32 takes whole numbers only"),
        (ElementType.UINT8, [1, 2, -1], "UINT8 holds 0 to 255"),
        (ElementType.BOOL, [True, False, 1], "data holds int; BOOL takes true or false only"),
        (ElementType.FP16, [1.0, 2.0, 1e5], "too large for FP16"),
    ],
)
def test_a_value_that_the_type_cannot_hold_is_a_400(element: ElementType, data: list[object], words: str) -> None:
    MODELS.put(ServedModel.open(an_echo_artifact(element)))
    body = request(tensor(datatype=element.value, shape=[1, 3], data=data))

    response = ask(body, path=b"/v2/models/echo/infer")

    assert response.status == 400
    assert words in sentence(response)


@pytest.mark.parametrize(
    ("element", "data"),
    [
        (ElementType.INT8, [-128, 0, 127]),
        (ElementType.INT64, [-(2**63), 0, 2**63 - 1]),
        (ElementType.BOOL, [True, False, True]),
        (ElementType.FP16, [0.5, -2.0, 65504.0]),
        (ElementType.UINT8, [0, 7, 255]),
    ],
)
def test_values_at_the_edge_of_a_type_come_back_unchanged(element: ElementType, data: list[object]) -> None:
    MODELS.put(ServedModel.open(an_echo_artifact(element)))
    body = request(tensor(datatype=element.value, shape=[1, 3], data=data))

    answer = json.loads(ask(body, path=b"/v2/models/echo/infer").body)

    assert answer["outputs"][0]["datatype"] == element
    assert answer["outputs"][0]["data"] == data


def test_a_model_that_gives_no_number_is_a_500_and_counted_as_an_error() -> None:
    models, meter, sketcher = ServedModels(), Meter(), Sketcher(SystemClock())
    models.put(ServedModel.open(an_echo_artifact(ElementType.FP32, operator="Sqrt")))
    body = request(tensor(shape=[1, 3], data=[1, 1, -1]))

    response, observation = Endpoints(models, sketcher, meter).answer(
        Request(method=b"POST", target=b"/v2/models/echo/infer", body=body)
    )

    assert (response.status, observation) == (500, None)
    assert "NaN or an infinity in output 'y'" in sentence(response)
    assert (meter.take().errors, [sketch.errors for sketch in sketcher.close_window()]) == (1, [1])


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(INPUT),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=20,
)
KEYS = st.sampled_from(["name", "datatype", "shape", "data", "parameters"])
TOP_KEYS = st.sampled_from(["id", "inputs", "outputs", "parameters"])


@given(body=st.binary(max_size=300), json_bytes=st.none() | st.integers(0, 400))
def test_any_bytes_get_a_400(body: bytes, json_bytes: int | None) -> None:
    assert ask(body, json_bytes=json_bytes).status == 400


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    changes=st.dictionaries(KEYS, JSON_VALUES, max_size=2),
    more=st.dictionaries(TOP_KEYS, JSON_VALUES, max_size=2),
)
def test_a_request_that_is_nearly_right_gets_an_answer_or_a_400(
    changes: dict[str, object], more: dict[str, object]
) -> None:
    response = ask(json.dumps({"inputs": [{**tensor(), **changes}], **more}).encode())

    assert response.status in (200, 400)


@given(rows=st.binary(min_size=32, max_size=32))
def test_raw_bytes_get_probabilities_or_a_400(rows: bytes) -> None:
    body, json_bytes = binary(np.frombuffer(rows, dtype="<f4").reshape(1, 8))

    response = ask(body, json_bytes=json_bytes)

    assert response.status == 400 or raw_answer(response).sum() == pytest.approx(1.0, abs=1e-5)
