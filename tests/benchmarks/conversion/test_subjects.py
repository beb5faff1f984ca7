from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.conversion.subjects import ROWS, VERSION, names, subject_of
from benchmarks.peers.cases import NotHere, Places

NINE = {"mobilenet-v2", "ds-cnn", "resnet8", "mlp", "cnn-1d", "transformer", "torch-encoder", "gru", "lstm"}


@pytest.mark.slow
def test_the_fixed_list_has_the_nine_kinds_and_more() -> None:
    found = names()

    assert set(found) > NINE
    assert len(found) == len(set(found)) == 35
    assert VERSION >= 1


@pytest.mark.slow
def test_a_published_model_without_its_folder_is_not_here(tmp_path: Path) -> None:
    with pytest.raises(NotHere, match="EDGESHIP_DATA"):
        subject_of("resnet20", Places(data=None, cache=tmp_path, seed=7))


@pytest.mark.slow
def test_a_made_model_has_both_exports_its_weights_and_rows(tmp_path: Path) -> None:
    found = subject_of("bert", Places(data=None, cache=tmp_path, seed=7))

    real = found.rows("real")
    assert found.in_torch
    assert found.model.read_bytes() != found.legacy.read_bytes()
    assert json.loads((found.folder / "case.json").read_text(encoding="utf-8")) == {"name": "bert"}
    assert real["input_ids"].shape == real["attention_mask"].shape == (ROWS, 48)
    assert np.unique(real["attention_mask"]).tolist() == [0, 1]
