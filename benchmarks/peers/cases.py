"""The fixed list of models, each with its rows: to calibrate with, to judge by, and to score on.

The list was fixed before anything was tuned to it, and no model is ever dropped: one that cannot be loaded is a row
that says so. Searches (ours, and NNCF's accuracy control) see the calibration and the judged rows. Scores are taken on
rows that no search saw, but for CIFAR-10 and the keywords, whose sets are too small to part once more (``seen``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.networks import NETWORKS, VERSION, Network, exported, rows_of

Arrays = dict[str, NDArray[np.generic]]
BUDGET: Final = 0.005
"""Half a point: the drop that every search is given where answers can be judged."""
MADE_BUDGET: Final = 0.05
"""Points of agreement where weights are random: there is no accuracy to keep, so only what is broken is refused."""
CIFAR_MEAN: Final = np.array([0.485, 0.456, 0.406], dtype=np.float32)
CIFAR_DEVIATION: Final = np.array([0.229, 0.224, 0.225], dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Rows by input tensor, and the label or target of each where there is one."""

    rows: Arrays
    label: NDArray[np.generic] | None = None

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(next(iter(self.rows.values())))


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where things are: the folder of models and data (None: there is none), the cache, the seed of all draws."""

    data: Path | None
    cache: Path
    seed: int


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model file and its rows.

    ``metric`` names what "as good" means (empty: what the labels carry); ``max_drop`` None asks no accuracy of anybody.
    """

    name: str
    model: Path
    calibration: Split
    judged: Split
    scored: Split
    metric: str = ""
    max_drop: float | None = BUDGET
    transformer: bool = False
    seen: bool = False
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of the fixed list; ``plain_resnet`` and ``depthwise`` name the bars that it has of its own."""

    name: str
    load: Callable[[Places], Case] = field(repr=False)
    plain_resnet: bool = False
    depthwise: bool = False


class NotHere(Exception):
    """A model of the list is not on this machine; the text says what is missing."""


def place(places: Places, path: str) -> Path:
    """Return a file of the data folder.

    Raises:
        NotHere: there is no data folder, or not this file in it.
    """
    if places.data is None:
        raise NotHere("no --data and no EDGESHIP_DATA")
    if not (places.data / path).exists():
        raise NotHere(f"the data folder has no {path}")
    return places.data / path


def parted(
    rows: Mapping[str, NDArray[Any]], label: NDArray[np.generic] | None, sizes: tuple[int, ...], seed: int
) -> list[Split]:
    """Return seeded, disjoint draws of these sizes; -1 takes what is left."""
    count = len(next(iter(rows.values())))
    order = np.random.default_rng(seed).permutation(count)
    splits, start = [], 0
    for size in sizes:
        places = order[start:] if size == -1 else order[start : start + size]
        start += len(places)
        drawn = {name: np.ascontiguousarray(values[places]) for name, values in rows.items()}
        splits.append(Split(rows=drawn, label=None if label is None else label[places]))
    return splits


def cifar(places: Places, *, name: str, model: str, tensor: str, raw: bool = False) -> Case:
    """Return a network on the 2,000 CIFAR-10 images: 500 to calibrate, 1,500 to judge and score."""
    held = np.load(place(places, "image_cifar10/cifar10_jpeg_2000.npz"), allow_pickle=False)
    images = held["x"].astype(np.float32)
    if not raw:
        images = ((images / 255 - CIFAR_MEAN) / CIFAR_DEVIATION).transpose(0, 3, 1, 2)
    calibration, judged = parted({tensor: images}, held["y"].astype(np.int64), (500, -1), places.seed)
    path = place(places, f"image_cifar10/{model}")
    return Case(name=name, model=path, calibration=calibration, judged=judged, scored=judged, seen=True)


def cmapss(places: Places) -> Case:
    """Return the remaining-useful-life network: scored on its 100 test engines and 2,000 windows that nobody saw."""
    held = np.load(place(places, "rul_cmapss/cmapss_fd001.npz"), allow_pickle=False)
    calibration, judged, unseen = parted({"x": held["x_calib"]}, held["y_calib"], (500, 1500, -1), places.seed)
    tested = Split(rows={"x": held["x_test"]}, label=held["y_test"])
    scored = joined(tested, unseen)
    path = place(places, "rul_cmapss/cmapss_cnn.onnx")
    of_life = [Split(rows=one.rows, label=_share_of_life(one.label)) for one in (calibration, judged, scored)]
    return Case(name="cmapss-cnn", model=path, calibration=of_life[0], judged=of_life[1], scored=of_life[2])


def joined(first: Split, second: Split) -> Split:
    """Return the rows of both, the first's first."""
    rows = {name: np.concatenate([values, second.rows[name]]) for name, values in first.rows.items()}
    if first.label is None or second.label is None:
        return Split(rows=rows)
    return Split(rows=rows, label=np.concatenate([first.label, second.label]))


def _share_of_life(label: NDArray[np.generic] | None) -> NDArray[np.float32] | None:
    return None if label is None else label.astype(np.float32) / np.float32(125)


def adult(places: Places) -> Case:
    """Return the census network: scored on its 16,281 test rows."""
    held = np.load(place(places, "tabular_adult/adult.npz"), allow_pickle=False)
    train = {"x": held["x_train"].astype(np.float32)}
    calibration, judged = parted(train, held["y_train"].astype(np.int64), (500, 2000), places.seed)
    scored = Split(rows={"x": held["x_test"].astype(np.float32)}, label=held["y_test"].astype(np.int64))
    path = place(places, "tabular_adult/adult_mlp.onnx")
    return Case(name="adult-mlp", model=path, calibration=calibration, judged=judged, scored=scored)


def detector(places: Places, *, name: str) -> Case:
    """Return a face detector on enlarged photographs of other things: answers compared with the original's."""
    from PIL import Image

    held = np.load(place(places, "image_cifar10/cifar10_jpeg_2000.npz"), allow_pickle=False)
    order = np.random.default_rng(places.seed).permutation(len(held["x"]))[:400]
    large = np.stack(
        [np.asarray(Image.fromarray(one).resize((320, 240)), dtype=np.float32) for one in held["x"][order]]
    )
    rows = {"input": (large.transpose(0, 3, 1, 2) - 127) / 128}
    calibration, judged, scored = parted(rows, None, (100, 100, 200), places.seed)
    return Case(
        name=name,
        model=place(places, f"detection/{name}.onnx"),
        calibration=calibration,
        judged=judged,
        scored=scored,
        metric="cosine",
        note="photographs without faces: answers compared, no accuracy",
    )


def keywords(places: Places) -> Case:
    """Return the keyword network in float TFLite on its 500 samples."""
    held = np.load(place(places, "keyword_spotting/kws01.npz"), allow_pickle=False)
    values = (held["x_int8"].astype(np.float32) - 83) * np.float32(0.5847029089927673)
    calibration, judged = parted({"input_1": values}, held["y"].astype(np.int64), (100, -1), places.seed)
    path = place(places, "keyword_spotting/kws_ref_model_float32.tflite")
    return Case(name="kws-float", model=path, calibration=calibration, judged=judged, scored=judged, seen=True)


def digits_lstm(places: Places) -> Case:
    """Return the LSTM over the rows of handwritten digits, float TFLite, on 10,000 of them."""
    held = np.load(place(places, "recurrent_mnist/mnist_t10k.npz"), allow_pickle=False)
    rows = {"serving_default_fixed_input:0": held["x"].astype(np.float32) / 255}
    calibration, judged, scored = parted(rows, held["y"].astype(np.int64), (500, 2000, -1), places.seed)
    path = place(places, "recurrent_mnist/trained_lstm.tflite")
    return Case(name="lstm-mnist", model=path, calibration=calibration, judged=judged, scored=scored)


def quantized_mobilenet(places: Places) -> Case:
    """Return a network that is int8 already: to be left as it is."""
    random = np.random.default_rng(places.seed)
    rows: Arrays = {"input": random.uniform(-1, 1, size=(300, 128, 128, 3)).astype(np.float32)}
    calibration, judged, scored = parted(rows, None, (100, 100, 100), places.seed)
    path = place(places, "image_mobilenet/mobilenet_v1_0.25_128_quant.tflite")
    note = "random rows: latency only"
    return Case(
        name=path.stem, model=path, calibration=calibration, judged=judged, scored=scored, max_drop=None, note=note
    )


def minilm(places: Places) -> Case:
    """Return the sentence encoder on sentences of 64 tokens; its embeddings keep a mean cosine of 0.998.

    Searches see the sentences that are for choosing; others are scored.
    """
    from benchmarks.sentence_encoder import sentence_case

    try:
        case = sentence_case(places.data, seed=places.seed)
    except SystemExit as error:
        raise NotHere(str(error)) from error
    path = places.cache / "models" / f"minilm-{case.model.digest[:12]}.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    case.model.save(path)
    calibration, judged = parted(case.choosing, None, (200, -1), places.seed)
    return Case(
        name="minilm",
        model=path,
        calibration=calibration,
        judged=judged,
        scored=Split(rows=dict(case.scored)),
        metric="cosine",
        max_drop=0.002,
        transformer=True,
    )


def made_here(places: Places, *, network: Network) -> Case:
    """Return one of this project's own seeded networks; the file is made once and kept."""
    path = places.cache / "models" / f"{network.name}-{VERSION}-{places.seed}.onnx"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(exported(network, seed=places.seed))
    large = int(np.prod(network.shape)) > 20_000
    sizes = (128, 128, 300) if large else (500, 500, 500)
    splits = []
    for place_, size in enumerate(sizes):
        rows, label = rows_of(network, size, seed=places.seed + 100 + place_)
        splits.append(Split(rows={"x": rows}, label=label))
    return Case(
        name=network.name,
        model=path,
        calibration=splits[0],
        judged=splits[1],
        scored=splits[2],
        transformer=network.transformer,
        metric="agreement",
        max_drop=MADE_BUDGET,
        note="random weights: latency and size; agreement shown, nothing claimed",
    )


# The fixed list. Written down before anything was tuned to it; nothing is ever dropped from it.
FIXED: Final[tuple[Entry, ...]] = (
    Entry(name="resnet20", load=partial(cifar, name="resnet20", model="resnet20.onnx", tensor="x"), plain_resnet=True),
    Entry(name="resnet32", load=partial(cifar, name="resnet32", model="resnet32.onnx", tensor="x"), plain_resnet=True),
    Entry(name="cmapss-cnn", load=cmapss),
    Entry(name="adult-mlp", load=adult),
    Entry(name="version-RFB-320", load=partial(detector, name="version-RFB-320")),
    Entry(name="version-slim-320", load=partial(detector, name="version-slim-320")),
    Entry(name="kws-float", load=keywords),
    Entry(
        name="resnet8-tflite",
        load=partial(cifar, name="resnet8-tflite", model="pretrainedResnet.tflite", tensor="input_1", raw=True),
    ),
    Entry(name="lstm-mnist", load=digits_lstm),
    Entry(name="mobilenet_v1_0.25_128_quant", load=quantized_mobilenet),
    Entry(name="minilm", load=minilm),
    *(
        Entry(
            name=network.name,
            load=partial(made_here, network=network),
            plain_resnet=network.name == "resnet8",
            depthwise=network.name == "mobilenet-v1-0.25-96",
        )
        for network in NETWORKS
    ),
)


def digest_of_case(case: Case) -> str:
    """Return the digest of everything that a search or a peer is given of the case."""
    total = hashlib.sha256(case.model.read_bytes())
    for split in (case.calibration, case.judged):
        for name, values in {**split.rows, "label": split.label}.items():
            total.update(name.encode() if values is None else name.encode() + values.tobytes())
    total.update(f"{case.metric}|{case.max_drop}|{case.transformer}".encode())
    return total.hexdigest()
