"""Wrong words and wrong files at the optimizer's doors: one line with the next action, before any work."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from tests.journeys.doors import INPUTS, Shell, files_in, write_samples
from tests.optimizer.builders import an_onnx_mlp
from tests.optimizer.search.searches import an_image_model

pytestmark = pytest.mark.slow

_TARGET = ("--target", "raspberry-pi-4")
_RECIPE = """\
model = "good.onnx"
target = "raspberry-pi-4"
data = "good.npz"

[[pass]]
use = "simplify-onnx"
"""


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models and data, good and bad, and the folder that a search wrote."""
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    an_image_model().save(folder / "scans.onnx")
    an_onnx_mlp(inputs=400).save(folder / "clips.onnx")
    _write_tables(folder)
    _write_folders(folder)
    (folder / "float.toml").write_text(_RECIPE, encoding="utf-8")
    Shell(folder=folder).done("recipe", "explore", "float.toml", "-o", "searched", "--store", "st", "--runs", "5")
    return folder


def _write_tables(folder: Path) -> None:
    names = [*(f"x{place}" for place in range(INPUTS)), "grade"]
    row = ",".join(["0.5"] * INPUTS)
    lines = [",".join(names), *(f"{row},{place % 3}" for place in range(20))]
    (folder / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    (folder / "ragged.csv").write_text("\n".join([*lines, "1,2,3"]), encoding="utf-8")


def _write_folders(folder: Path) -> None:
    from PIL import Image

    for name in ("empty", "mixed", "sound/on", "sound/off"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "mixed" / "a.png")
    (folder / "mixed" / "b.txt").write_text("no image")
    for name in ("on/a", "on/b", "off/a"):
        with wave.open(str(folder / "sound" / f"{name}.wav"), "wb") as clip:
            clip.setparams((1, 2, 4000, 400, "NONE", ""))
            clip.writeframes(np.zeros(400, "<i2").tobytes())
    (folder / "sound" / "off" / "broken.wav").write_bytes(b"RIFF\x00\x00\x00\x00WAVE")


def _refused(samples: Path, *words: str) -> str:
    """Run the command, which must be refused with nothing written; return the line."""
    before = files_in(samples)

    refusal = Shell(folder=samples)(*words, "-o", "out", "--store", "st").refusal

    assert files_in(samples) == before
    return refusal


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("good.onnx", "--data", "good.npz", "--metric", "acuracy"), "no metric 'acuracy'; did you mean 'accuracy'?"),
        (("good.onnx", "--data", "good.npz", "--metric", "nothere:score"), "nothere"),
        (("good.onnx", "--data", "table.csv", "--label", "grad"), "has no label 'grad'; it has "),
        (("good.onnx", "--data", "ragged.csv", "--label", "grade"), "ragged.csv: line 22 has 3 cells"),
        (("scans.onnx", "--data", "empty"), "empty: has no file to make a row of"),
        (("scans.onnx", "--data", "mixed"), "holds 1 file of another kind than images, as b.txt; take them out"),
        (("clips.onnx", "--data", "sound"), "broken.wav"),
        (("good.onnx", "--data", "nowhere:rows"), "nowhere"),
        (("nowhere.py:net", "--data", "good.npz"), "there is no file nowhere.py"),
        (("good.onnx", "--data", "good.npz", "--runner", "no-such-command"), "'no-such-command': cannot be started"),
        (("good.onnx", "--data", "good.npz", "--runner", "'"), "is no command"),
        (("good.onnx", "--data", "good.npz", "--replay", "nowhere"), "nowhere holds no kept figures"),
        (("good.onnx", "--data", "good.npz", "--max-drop", "lots"), "'lots' is not a drop in percentage points"),
        (("good.onnx", "--data", "good.npz", "--preprocess", "row:half"), "preprocessing 'row:half' is no step; write"),
    ],
)
def test_what_optimize_cannot_use_is_refused_before_any_work(
    samples: Path, words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in _refused(samples, "optimize", *words, *_TARGET)


def test_weights_without_their_network_are_refused_with_the_way_out(samples: Path) -> None:
    import torch

    torch.save({"w": torch.zeros(2, 2)}, samples / "weights.pt")

    refusal = _refused(samples, "optimize", "weights.pt", "--data", "good.npz", *_TARGET)

    assert "weights.pt holds weights without the network" in refusal
    assert "builder" in refusal


def test_a_replay_that_lacks_a_figure_names_it(samples: Path) -> None:
    words = ("optimize", "scans.onnx", "--data", "scans.npz", *_TARGET, "--replay", "searched/figures")
    rows = np.random.default_rng(0).random((40, 1, 8, 8), dtype=np.float32)
    np.savez(samples / "scans.npz", image=rows, allow_pickle=False)

    answer = Shell(folder=samples)(*words, "-o", "replayed", "--store", "st")

    assert answer.status == 1
    assert "Traceback" not in answer.err
    assert answer.err.strip().splitlines()[-1].startswith("error: ")


def test_a_storage_that_cannot_be_opened_is_named(samples: Path) -> None:
    words = ("optimize", "good.onnx", "--data", "good.npz", *_TARGET, "--storage", "sqlite:////nowhere/search.db")

    refusal = Shell(folder=samples)(*words, "-o", "stored", "--store", "st").refusal

    assert "cannot open the storage sqlite:////nowhere/search.db" in refusal
    assert "give one as in sqlite:///search.db" in refusal


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('"../good.onnx"', '"../scans.onnx"', "the model scans.onnx has digest"),
        ('"../good.npz"', '"../other.npz"', "the data other.npz (split with seed 0) has digest"),
        ("check_runs = 1", "check_runs = 2", "edited after it was locked"),
        ("schema = 1", "schema = 9", "has lock schema 9"),
        ("[lock]", "[lokc]", "has no [lock] table"),
        ("[lock]", "[lock", "is damaged (not TOML"),
    ],
)
def test_a_lock_of_something_else_is_refused(samples: Path, old: str, new: str, sentence: str) -> None:
    with np.load(samples / "good.npz") as arrays:
        np.savez(samples / "other.npz", allow_pickle=False, **{name: arrays[name] * 2 for name in arrays.files})
    text = (samples / "searched" / "winner.lock.toml").read_text(encoding="utf-8")
    (samples / "searched" / "edited.toml").write_text(text.replace(old, new), encoding="utf-8")

    answer = Shell(folder=samples)("optimize", "--locked", "searched/edited.toml", "-o", "searched", "--store", "st")

    assert old in text
    assert sentence in answer.refusal


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("recipe", "show", "samples"), "cannot read model samples: No such file"),
        (("recipe", "show", "empty"), "cannot read empty/search.json: No such file or directory; give a folder that"),
        (("recipe", "compare", "searched", "empty"), "give a folder that optimize wrote"),
        (("recipe", "show", "searched", "--recipe", "flaot"), "there is no candidate 'flaot'; did you mean 'float'?"),
        (("recipe", "show", "good.onnx", "--recipe", "float"), "--recipe names a candidate of a folder, and good.onnx"),
        (("recipe", "plan", "nowhere.toml"), "cannot read recipe nowhere.toml: No such file or directory; give a"),
        (("recipe", "run", "float.toml", "-o", "nowhere/out.onnx"), "cannot write model nowhere/out.onnx"),
    ],
)
def test_what_recipe_cannot_use_is_refused(samples: Path, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in Shell(folder=samples)(*words).refusal


def test_two_recipes_about_different_models_are_not_explored_together(samples: Path) -> None:
    (samples / "other.toml").write_text(_RECIPE.replace("good.onnx", "scans.onnx"), encoding="utf-8")

    refusal = _refused(samples, "recipe", "explore", "float.toml", "other.toml")

    assert "other is about another model, data, target or preprocessing than float; explore those of one" in refusal
