"""The models that are converted: one folder each with all that a converter may ask for, made once and kept.

``model.onnx`` and ``legacy.onnx`` (torch's two exporters; a published file is both), ``weights.pt`` for those that
have a torch twin, ``rows.npz`` with ``real/INPUT`` and ``random/INPUT``, ``case.json``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.networks import NETWORKS, rows_of
from benchmarks.peers.cases import NotHere, Places, adult, cifar, cmapss, detector, place
from benchmarks.peers.environments import ROOT
from benchmarks.peers.sides import save_arrays

if TYPE_CHECKING:
    from torch import nn

    from benchmarks.conversion.zoo.catalog import Zoo

Arrays = dict[str, NDArray[Any]]
VERSION: Final = 1
"""Raise when the same network is to be exported, or given rows, in another way: kept folders are made anew."""
FILES: Final = ("legacy.onnx", "model.onnx", "rows.npz", "weights.pt")
ROWS: Final = 8
"""How many rows of each kind, real-looking and random, are compared and timed."""
OPSET: Final = 18
PUBLISHED: Final[Mapping[str, tuple[Any, str]]] = {
    "resnet20": (partial(cifar, name="resnet20", model="resnet20.onnx", tensor="x"), "image_cifar10/resnet20.pt"),
    "resnet32": (partial(cifar, name="resnet32", model="resnet32.onnx", tensor="x"), "image_cifar10/resnet32.pt"),
    "cmapss-cnn": (cmapss, "rul_cmapss/cmapss_cnn.pt"),
    "adult-mlp": (adult, "tabular_adult/adult_mlp.pt"),
    "version-RFB-320": (partial(detector, name="version-RFB-320"), ""),
    "version-slim-320": (partial(detector, name="version-slim-320"), ""),
}
_COARSE: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One model in its folder; ``in_torch`` says that there is a torch module of it."""

    name: str
    folder: Path
    in_torch: bool

    @property
    def model(self) -> Path:
        """The ONNX file."""
        return self.folder / "model.onnx"

    @property
    def legacy(self) -> Path:
        """The ONNX file of torch's older exporter; the same file where the model is a published one."""
        return self.folder / "legacy.onnx"

    def rows(self, kind: str) -> Arrays:
        """Return the rows of a kind by input: ``real`` or ``random``."""
        with np.load(self.folder / "rows.npz", allow_pickle=False) as held:
            return {name.partition("/")[2]: held[name] for name in held.files if name.startswith(f"{kind}/")}

    @property
    def digest(self) -> str:
        """Of everything in the folder."""
        paths = [path for name in FILES if (path := self.folder / name).exists()]
        return hashlib.sha256(b"".join(path.name.encode() + path.read_bytes() for path in paths)).hexdigest()


def names() -> tuple[str, ...]:
    """Return the fixed list; nothing is ever dropped from it."""
    from benchmarks.conversion.zoo.catalog import MADE

    return (*PUBLISHED, *(network.name for network in NETWORKS), *(zoo.name for zoo in MADE), "minilm")


def subject_of(name: str, places: Places) -> Subject:
    """Return a model of the list, its folder made if it is not there yet.

    Raises:
        NotHere: it needs a file that is not on this machine.
    """
    folder = places.cache / "conversion" / "subjects" / f"{name}-{_key(name, places)[:12]}"
    if not (folder / "case.json").exists():
        making = folder.with_name(f"{folder.name}.part")
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(parents=True)
        _write(name, making, places)
        making.rename(folder)
    return Subject(name=name, folder=folder, in_torch=(folder / "weights.pt").exists())


def _key(name: str, places: Places) -> str:
    sources = [*sorted((ROOT / "benchmarks" / "conversion" / "zoo").glob("*.py"))]
    sources += [ROOT / "benchmarks" / "networks.py", ROOT / "benchmarks" / "peers" / "architectures.py"]
    total = hashlib.sha256(b"".join(path.read_bytes() for path in sources))
    total.update(f"{VERSION} {name} {places.seed} {places.data}".encode())
    return total.hexdigest()


def _write(name: str, folder: Path, places: Places) -> None:
    if name in PUBLISHED:
        rows = _published(name, folder, places)
    elif name == "minilm":
        rows = _minilm(folder, places)
    else:
        rows = _made(name, folder, places)
    save_arrays(folder / "rows.npz", {f"{kind}/{tensor}": kept for (kind, tensor), kept in rows.items()})
    (folder / "case.json").write_text(json.dumps({"name": name}), encoding="utf-8")


def _published(name: str, folder: Path, places: Places) -> dict[tuple[str, str], NDArray[Any]]:
    load, weights = PUBLISHED[name]
    case = load(places)
    shutil.copyfile(case.model, folder / "model.onnx")
    shutil.copyfile(case.model, folder / "legacy.onnx")
    if weights:
        shutil.copyfile(place(places, weights), folder / "weights.pt")
    chance = np.random.default_rng(places.seed)
    rows = {}
    for tensor, values in case.scored.rows.items():
        rows["real", tensor] = values[:ROWS].astype(np.float32)
        rows["random", tensor] = chance.standard_normal((ROWS, *values.shape[1:]), dtype=np.float32)
    return rows


def _made(name: str, folder: Path, places: Places) -> dict[tuple[str, str], NDArray[Any]]:
    import torch

    from benchmarks.conversion.zoo.catalog import MADE, made

    module = made(name, seed=places.seed)
    torch.save(module.state_dict(), folder / "weights.pt")
    chance = np.random.default_rng(places.seed)
    network = next((one for one in NETWORKS if one.name == name), None)
    if network is not None:
        real = {"x": rows_of(network, ROWS, seed=places.seed + 100)[0]}
        random = {"x": chance.standard_normal((ROWS, *network.shape), dtype=np.float32)}
    else:
        zoo = next(one for one in MADE if one.name == name)
        real, random = _rows(zoo, chance, real=True), _rows(zoo, chance, real=False)
    _export(module, real, folder)
    return {("real", key): rows for key, rows in real.items()} | {("random", key): rows for key, rows in random.items()}


def _rows(zoo: Zoo, chance: np.random.Generator, *, real: bool) -> Arrays:
    """Return rows: numbers of tokens and masks of any length; floats at random, smoothed where ``real``."""
    rows: Arrays = {}
    for kind, shape in zip(zoo.kinds, zoo.inputs, strict=True):
        if kind == "tokens":
            rows["input_ids"] = chance.integers(0, zoo.vocabulary, size=(ROWS, *shape))
        elif kind == "mask":
            lengths = chance.integers(2, shape[0] + 1, size=(ROWS, 1))
            rows["attention_mask"] = (np.arange(shape[0]) < lengths).astype(np.int64)
        else:
            rows["x"] = _smooth(chance, shape) if real else chance.standard_normal((ROWS, *shape), dtype=np.float32)
    return rows


def _smooth(chance: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return rows of coarse values, repeated over the places of the last axes, under a little noise."""
    values = chance.standard_normal((ROWS, shape[0], *(-(-size // _COARSE) for size in shape[1:])), dtype=np.float32)
    for axis, size in enumerate(shape[1:], start=2):
        values = values.repeat(_COARSE, axis=axis).take(range(size), axis=axis)
    return values + 0.1 * chance.standard_normal(values.shape, dtype=np.float32)


def _minilm(folder: Path, places: Places) -> dict[tuple[str, str], NDArray[Any]]:
    import torch

    from benchmarks.conversion.zoo.catalog import rebuilt
    from benchmarks.minilm import find_files
    from benchmarks.sentences import draw, numbered

    try:
        found = find_files(places.data)
    except SystemExit as error:
        raise NotHere(str(error)) from error
    from safetensors.torch import load_file

    weights = load_file(found / "model.safetensors")
    torch.save(weights, folder / "weights.pt")
    real = numbered(draw(seed=places.seed, counts=(ROWS,))[0], found / "vocab.txt")
    _export(rebuilt("minilm", weights), real, folder)
    chance = np.random.default_rng(places.seed)
    random = {
        "input_ids": chance.integers(0, 30_000, size=real["input_ids"].shape),
        "attention_mask": real["attention_mask"],
    }
    return {("real", key): rows for key, rows in real.items()} | {("random", key): rows for key, rows in random.items()}


def _export(module: nn.Module, rows: Arrays, folder: Path) -> None:
    """Write both exporters' files, for a batch of one, as litert-torch is given it."""
    import torch

    from optimizer.formats.quiet import quiet

    sample = tuple(torch.from_numpy(values[:1]) for values in rows.values())
    with torch.no_grad():
        answer = module(*sample)
    outputs = ["y"] if isinstance(answer, torch.Tensor) else [f"y{place}" for place in range(len(answer))]
    for file, dynamo in (("model.onnx", True), ("legacy.onnx", False)):
        with quiet():
            torch.onnx.export(
                module, sample, str(folder / file), dynamo=dynamo, opset_version=OPSET, external_data=False,
                input_names=list(rows), output_names=outputs, verbose=False,
            )  # fmt: skip
