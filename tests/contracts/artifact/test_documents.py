"""The documents of an artifact: cards and descriptions come back as they went in, in one spelling."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from contracts.artifact import Artifact, Document
from contracts.artifact.api import EXAMPLE_LIMIT_ELEMENTS, description, example, metadata
from contracts.artifact.card import Statement, read_card, write_card
from contracts.artifact.documents import read_json, write_json
from contracts.errors import ArtifactError, TensorError
from contracts.tensors import ElementType, TensorSpec
from tests.contracts.artifact.artifacts import TOP, a_card, a_whole_artifact


def test_a_card_comes_back_as_it_went_in() -> None:
    assert read_card(write_card(a_card())) == a_card()


def test_a_card_of_unknown_figures_says_so() -> None:
    unknown = replace(a_card(), loss=replace(a_card().loss, value=None, drop=None, drop_low=None, drop_high=None))

    assert json.loads(write_card(unknown))["loss"]["value"] is None
    assert read_card(write_card(unknown)) == unknown


def test_what_nobody_said_is_named() -> None:
    assert Statement(licence="MIT", owners=("me",)).missing == (
        "intended_use",
        "limits",
        "training_data",
        "evaluation_data",
    )
    assert a_card().statement.missing == ()


def test_a_document_has_one_spelling() -> None:
    assert write_json({"b": 1, "a": "é"}) == write_json({"a": "é", "b": 1}) == '{\n "a": "é",\n "b": 1\n}\n'.encode()


def test_a_number_that_is_none_is_not_written() -> None:
    with pytest.raises(ArtifactError, match="give finite numbers"):
        write_json({"a": math.nan})


@pytest.mark.parametrize(
    "text", [b"{", b"\xff", b'{"a": NaN}', b"[" * 200_000], ids=["cut", "no text", "no number", "deep"]
)
def test_what_is_no_document_is_refused(text: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"is no JSON .*; pack it again"):
        read_json(text)


def test_a_card_of_another_form_is_refused_by_its_field() -> None:
    with pytest.raises(ArtifactError, match=r"ModelCard\.statement: missing"):
        read_card(b'{"release": "digits@1"}')


def test_the_api_is_the_metadata_with_an_example_made_of_the_first_recorded_row() -> None:
    artifact = a_whole_artifact(steps=TOP)

    told = json.loads(artifact.members[Document.API])

    first = np.frombuffer(artifact.members["golden/input/0"], dtype="<f4")[:4].tolist()
    assert told["inputs"] == [
        {"name": "x", "datatype": "FP32", "shape": [-1, 4], "parameters": {"low": 0.0, "high": 1.0}}
    ]
    assert told["outputs"] == [{"name": "probability", "datatype": "INT64", "shape": [-1]}]
    assert told["example"]["request"] == {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": first}]}
    assert told["example"]["response"]["outputs"][0]["shape"] == [1]
    assert {key: told[key] for key in metadata(artifact.manifest)} == metadata(artifact.manifest)


def test_a_large_tensor_of_the_example_is_sent_raw() -> None:
    spec = TensorSpec(name="image", element=ElementType.UINT8, shape=(-1, EXAMPLE_LIMIT_ELEMENTS + 1))
    manifest = replace(
        a_whole_artifact().manifest, inputs=(spec,), outputs=(replace(spec, name="mask"),), postprocessing=()
    )
    rows = np.zeros((8, EXAMPLE_LIMIT_ELEMENTS + 1), dtype=np.uint8)

    shown = example(manifest, {"image": rows}, {"mask": rows})

    assert shown["request"] == {
        "inputs": [
            {"name": "image", "datatype": "UINT8", "shape": [1, 1025], "parameters": {"binary_data_size": 1025}}
        ],
        "outputs": [{"name": "mask", "parameters": {"binary_data": True}}],
    }


def test_recorded_rows_that_do_not_fit_describe_nothing() -> None:
    whole = a_whole_artifact()

    with pytest.raises(TensorError, match="the recorded input 'x' does not hold 8 rows"):
        description(Artifact(manifest=whole.manifest, members={**whole.members, "golden/input/0": bytes(4)}))
