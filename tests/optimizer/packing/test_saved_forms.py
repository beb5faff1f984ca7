"""A saved form is packed like any ONNX file, and its artifact reproduces itself."""

from __future__ import annotations

import dataclasses

import pytest

from contracts.artifact import read_artifact
from contracts.manifest import ModelFormat
from optimizer.model import Format
from optimizer.packing import verify_packed
from optimizer.pass_ import Observations, Pass
from optimizer.passes.save_optimized import SaveOptimized
from optimizer.passes.save_ort import SaveOrt
from tests.optimizer.packing.test_packing import packed
from tests.optimizer.search.searches import a_search


@pytest.mark.slow
@pytest.mark.parametrize("form", [SaveOptimized(), SaveOrt()], ids=str)
def test_a_saved_form_is_packed_for_the_runtime_of_onnx_files(form: Pass) -> None:
    plain = next(one for one in a_search(formats=(ModelFormat.ONNX,)).candidates if one.label == "onnx float")
    model = form.run(plain.model, Observations())
    candidate = dataclasses.replace(plain, product=dataclasses.replace(plain.product, model=model))

    artifact = read_artifact(packed(candidate))

    assert artifact.manifest.format is ModelFormat.ONNX
    assert model.format in (Format.ONNX, Format.ORT)
    assert verify_packed(artifact).max_difference == 0.0
