"""Locks: the winner made again byte for byte, and each change that the bytes depend on refused with its own line."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from optimizer.benchmark.timing import Effort
from optimizer.data.splits import DataOptions
from optimizer.errors import LockError, ModelError
from optimizer.passes import QuantizeStatic, SimplifyOnnx
from optimizer.pipeline import Pipeline
from optimizer.recipe import Subject
from optimizer.search.budget import OptimizeBudget
from optimizer.search.candidate import Search
from optimizer.search.case import Bench, Case
from optimizer.search.lock import FILE, SCHEMA, LockedRecipe, lock_of, read_lock, replay, write_lock
from optimizer.search.making import Attempt
from optimizer.search.optimize import search
from optimizer.store import FolderStore, MemoryStore
from tests.optimizer.builders import a_dataset, an_onnx_mlp
from tests.optimizer.search.searches import the_winner

pytestmark = pytest.mark.slow
QUICK = Effort(runs=20, warmup=3, seconds=0.3, least_runs=10)
_INT8 = Attempt(label="int8", pipeline=Pipeline(SimplifyOnnx(), QuantizeStatic(rows=32)))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model, unsplit rows and, in ``out``, the lock of a search on them."""
    folder = tmp_path_factory.mktemp("desk")
    model = an_onnx_mlp(inputs=16)
    data = a_dataset(model)
    assert data.label is not None
    model.save(folder / "mlp.onnx")
    np.savez(folder / "rows.npz", row=data.holdout["row"], label=data.label, allow_pickle=False)
    subject = Subject(
        model=os.path.relpath(folder / "mlp.onnx"),
        target="raspberry-pi-4",
        data=os.path.relpath(folder / "rows.npz"),
        options=DataOptions(seed=7, calibration_rows=32),
    )
    (folder / "out").mkdir()
    write_lock(lock_of(_searched(subject), subject, edgeship="0.1.0"), folder / "out" / FILE)
    return folder


@pytest.fixture
def desk(original: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder at another place, to change."""
    return Path(shutil.copytree(original, tmp_path / "moved" / "here"))


def _searched(subject: Subject) -> Search:
    model = subject.open_model()
    case = Case(model=model, dataset=subject.open_dataset(model), target=subject.open_target())
    return search(case, (lambda _known: (_INT8,),), budget=OptimizeBudget(max_drop=0.9), bench=Bench(effort=QUICK))


def _replay(desk: Path) -> LockedRecipe:
    locked = read_lock(desk / "out" / FILE)
    product = replay(locked, store=MemoryStore())
    assert product.model.digest == locked.lock.result
    return locked


def _edit(desk: Path, old: str, new: str) -> None:
    lock = desk / "out" / FILE
    text = lock.read_text(encoding="utf-8")
    assert old in text
    lock.write_text(text.replace(old, new), encoding="utf-8")


def _refusal(desk: Path) -> str:
    with pytest.raises(LockError) as refused:
        _replay(desk)
    return str(refused.value)


def test_a_replay_at_another_place_gives_the_locked_bytes(desk: Path) -> None:
    locked = _replay(desk)

    assert locked.lock.schema == SCHEMA
    assert locked.lock.label == "int8"
    assert locked.recipe.steps == _INT8.pipeline.steps


def test_a_fresh_process_with_a_store_of_its_own_gives_the_same_bytes(desk: Path) -> None:
    words = ["optimize", "--locked", str(desk / "out" / FILE), "-o", str(desk / "again"), "--store", str(desk / "st")]

    subprocess.run([sys.executable, "-m", "edgeship.cli", *words], check=True, capture_output=True, cwd=desk)

    made = (desk / "again" / "winner.onnx").read_bytes()
    product = replay(read_lock(desk / "out" / FILE), store=FolderStore(desk / "other-store"))
    assert made == product.model.content
    assert read_lock(desk / "again" / FILE) == read_lock(desk / "out" / FILE)


def test_the_lock_spells_seed_rows_and_every_default_of_the_passes(desk: Path) -> None:
    text = (desk / "out" / FILE).read_text(encoding="utf-8")

    assert {"seed = 7", "calibration_rows = 32", "rows = 32", 'method = "minmax"', "per_channel = true"} <= set(
        text.splitlines()
    )


def test_paths_count_from_the_folder_of_the_lock(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (desk / "out" / FILE).read_text(encoding="utf-8")

    monkeypatch.chdir(desk / "out")

    assert 'model = "../mlp.onnx"' in text
    assert read_lock(Path(FILE)).recipe.subject.model == "../mlp.onnx"
    assert _replay(desk)


def test_paths_count_from_the_real_folder_behind_a_link(desk: Path) -> None:
    (desk / "deep" / "er").mkdir(parents=True)
    (desk / "deep" / "er" / "link").symlink_to(desk / "out", target_is_directory=True)

    locked = read_lock(desk / "deep" / "er" / "link" / FILE)

    assert (desk / "mlp.onnx").samefile(locked.recipe.subject.model)


def test_a_lock_written_again_says_the_same(desk: Path) -> None:
    locked = read_lock(desk / "out" / FILE)

    write_lock(locked, desk / "copy.toml")

    assert read_lock(desk / "copy.toml") == locked


def test_another_model_is_refused(desk: Path) -> None:
    an_onnx_mlp(inputs=16, seed=99).save(desk / "mlp.onnx")

    assert "mlp.onnx has digest" in (said := _refusal(desk))
    assert "put back the one that was locked, or say with MODEL where it lies" in said


def test_other_data_are_refused(desk: Path) -> None:
    with np.load(desk / "rows.npz") as arrays:
        rows, label = arrays["row"].copy(), arrays["label"]
    rows[3, 3] += 1
    np.savez(desk / "rows.npz", row=rows, label=label, allow_pickle=False)

    assert "rows.npz (split with seed 7) has digest" in _refusal(desk)


def test_another_seed_of_the_split_is_refused(desk: Path) -> None:
    _edit(desk, "seed = 7", "seed = 8")

    assert "rows.npz (split with seed 8) has digest" in _refusal(desk)


def test_another_version_of_a_tool_is_refused_with_what_to_install(desk: Path) -> None:
    lock = read_lock(desk / "out" / FILE).lock
    onnx = next(tool for tool in lock.tools if tool.startswith("onnx "))
    _edit(desk, f'"{onnx}"', '"onnx 0.0.1"')

    said = _refusal(desk)

    assert f"written with onnx 0.0.1 (here {onnx.split()[1]})" in said
    assert "pip install onnx==0.0.1" in said


def test_another_version_of_a_pass_is_refused_with_the_edgeship_that_wrote_it(desk: Path) -> None:
    _edit(desk, f"quantize-static {QuantizeStatic.version}", "quantize-static 0")

    assert "use edgeship 0.1.0, which wrote it" in _refusal(desk)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("rows = 32", "rows = 31"),
        ('target = "raspberry-pi-4"', 'target = "raspberry-pi-5"'),
        ('use = "simplify-onnx"\ncheck_runs = 1', 'use = "fold-batchnorm"'),
    ],
)
def test_an_edited_recipe_is_refused(desk: Path, old: str, new: str) -> None:
    _edit(desk, old, new)

    assert "edited after it was locked" in _refusal(desk)


def test_bytes_that_differ_all_the_same_are_refused(desk: Path) -> None:
    lock = read_lock(desk / "out" / FILE).lock
    _edit(desk, f'result = "{lock.result}"', f'result = "{"0" * 64}"')

    assert "gave other bytes" in _refusal(desk)


@pytest.mark.parametrize("key", ["result", "model", "data", "recipe", "label"])
def test_a_lock_that_lacks_something_is_refused(desk: Path, key: str) -> None:
    lines = (desk / "out" / FILE).read_text(encoding="utf-8").partition("[lock]")
    kept = [line for line in lines[2].splitlines() if not line.startswith(f"{key} =")]
    (desk / "out" / FILE).write_text("\n".join([lines[0] + "[lock]", *kept]), encoding="utf-8")

    assert f"is damaged: its lock has no {key};" in _refusal(desk)


def test_a_newer_schema_is_refused_before_its_keys_are_read(desk: Path) -> None:
    _edit(desk, "[lock]\nschema = 1", '[lock]\nschema = 2\nsignature = "x"')

    assert "has lock schema 2, this edgeship reads 1; use the edgeship that wrote it" in _refusal(desk)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"model = \n", "is damaged (not TOML: Invalid value"),
        (b"\xff\xfe", "is damaged ("),
        (b'model = "m.onnx"\ntarget = "host"\n', "has no [lock] table, so it is no lock"),
        (b'model = "m.onnx"\ntarget = "host"\n[lock]\nschema = 1\nlabl = "x"\n', "did you mean 'label'?"),
    ],
)
def test_a_damaged_lock_is_refused(desk: Path, content: bytes, sentence: str) -> None:
    (desk / "out" / FILE).write_bytes(content)

    assert sentence in _refusal(desk)


def test_a_lock_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LockError, match="No such file or directory; give the lock that optimize wrote"):
        read_lock(tmp_path / FILE)


def test_a_model_that_moved_is_named(desk: Path) -> None:
    (desk / "mlp.onnx").unlink()

    with pytest.raises(ModelError, match=r"mlp\.onnx: No such file"):
        _replay(desk)


def test_a_model_that_was_named_from_the_root_stays_so(desk: Path) -> None:
    locked = read_lock(desk / "out" / FILE)
    absolute = dataclasses.replace(locked.recipe.subject, model=str(desk / "mlp.onnx"))

    write_lock(
        dataclasses.replace(locked, recipe=dataclasses.replace(locked.recipe, subject=absolute)), desk / "l.toml"
    )

    assert read_lock(desk / "l.toml").recipe.subject.model == str(desk / "mlp.onnx")


def test_a_lock_cannot_be_written_where_there_is_no_folder(desk: Path) -> None:
    locked = read_lock(desk / "out" / FILE)

    with pytest.raises(LockError, match="cannot write"):
        write_lock(locked, desk / "mlp.onnx" / FILE)


def test_a_search_without_a_winner_has_nothing_to_lock(original: Path) -> None:
    subject = read_lock(original / "out" / FILE).recipe.subject
    found = _searched(subject)
    loser = dataclasses.replace(the_winner(found), verdict=type(the_winner(found).verdict).OVER_BUDGET)

    with pytest.raises(LockError, match="no winner"):
        lock_of(dataclasses.replace(found, candidates=(loser,)), subject, edgeship="0.1.0")
