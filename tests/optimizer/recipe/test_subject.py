"""A subject's paths: they count from one folder or another, and name the same files from both."""

from __future__ import annotations

from pathlib import Path

import pytest

from optimizer.data.splits import DataOptions
from optimizer.recipe import Subject

_HERE = Subject(
    model="nets.py:build",
    builder="nets.py:build",
    target="host",
    data="rows/line-3.npz",
    metric="score.py:mine",
    options=DataOptions(transform="clips.py:row"),
)


def test_every_path_counts_from_the_other_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    seen = _HERE.seen_from(Path("runs/1"))

    assert seen.model == seen.builder == "../../nets.py:build"
    assert seen.data == "../../rows/line-3.npz"
    assert seen.metric == "../../score.py:mine"
    assert seen.options.transform == "../../clips.py:row"


@pytest.mark.parametrize("folder", ["runs/1", ".", "../elsewhere"])
def test_seen_from_a_folder_and_read_beside_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    assert _HERE.seen_from(Path(folder)).beside(Path(folder)) == _HERE


def test_the_way_from_a_far_folder_is_no_longer_than_it_must_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "far" / "away")

    seen = Subject(model="../../desk/net.onnx", target="host").seen_from(tmp_path / "desk" / "out")

    assert seen.model == "../net.onnx"


def test_functions_of_modules_names_of_metrics_and_paths_from_the_root_stay() -> None:
    told = Subject(model="nets:build", target="host", data="/mnt/rows.npz", metric="accuracy")

    assert told.seen_from(Path("runs/1")) == told
    assert told.beside(Path("runs/1")) == told
