"""Small valid things for tests: real artifacts that load and answer in well under a second, made without torch.

A ``TinyModel`` is a one-hidden-layer classifier over a table of ``features`` numbers in 0..1. The same weights
become an ONNX file (any batch) or a TFLite file (batch 1); its golden answers and its sketch plan are its own.

>>> from contracts.artifact import read_artifact
>>> read_artifact(a_tiny_onnx_artifact(TinyModel(classes=4), version="2.0.0")).manifest.version
'2.0.0'
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from contracts.artifact import MODEL_MEMBER, write_artifact
from contracts.features import class_confidence, feature_of, feature_values, sketch_feature
from contracts.ids import digest_of, parse_model_name, parse_profile_name
from contracts.manifest import ArtifactManifest, Budget, Golden, Lineage, Measurement, ModelFormat, TakenOn
from contracts.sketch import CONFIDENCE_EDGES, FeatureKind, OutputReference, SketchPlan
from contracts.tensors import ElementType, TensorSpec

INPUT = "x"
OUTPUT = "probability"
SLOW_SIDE = 128
GOLDEN_ROWS = 8
REFERENCE_ROWS = 512

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class TinyModel:
    """What to build.

    ``hidden`` sets the file's size (about 4 x hidden x (features + classes) bytes). ``slow_products`` adds that many
    products of two 128 x 128 matrices which change no answer: about 10 us (ONNX) or 20 us (TFLite) each for one row, and
    131 kB x classes of file for all of them. ``bias`` is added to class 0's score before the softmax: 8 makes nearly
    every answer class 0, and sure; at 0 the classes are about equally frequent.
    """

    features: int = 8
    hidden: int = 16
    classes: int = 3
    slow_products: int = 0
    bias: float = 0.0
    seed: int = 7

    @cached_property
    def weights(self) -> tuple[Floats, Floats, Floats, Floats]:
        """First weights (features, hidden), offsets (hidden,), second weights (hidden, classes), offsets (classes,)."""
        random = np.random.default_rng(self.seed)
        first = random.normal(0.0, 1.0, (self.features, self.hidden)).astype(np.float32)
        offset = -first.sum(axis=0) * np.float32(0.5)
        second = (random.normal(0.0, 3.0, (self.hidden, self.classes)) / np.sqrt(self.hidden)).astype(np.float32)
        last = -(np.maximum(self.rows(REFERENCE_ROWS, seed=1) @ first + offset, 0.0) @ second).mean(axis=0)
        last[0] += np.float32(self.bias)
        return first, offset, second, last

    def rows(self, count: int, *, seed: int = 0) -> Floats:
        """Return that many inputs, shape (count, features), uniform in 0..1."""
        return np.random.default_rng((self.seed, seed)).random((count, self.features)).astype(np.float32)

    def answers(self, rows: Floats) -> Floats:
        """Return the class probabilities of the rows, shape (n, classes): what any engine must give."""
        first, offset, second, last = self.weights
        scores = np.maximum(rows @ first + offset, 0.0) @ second + last
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


class TunedModel(TinyModel):
    """The same network after a fine-tune: every weight moved by about a thousandth of itself."""

    @cached_property
    def weights(self) -> tuple[Floats, Floats, Floats, Floats]:
        """The weights of a ``TinyModel``, moved."""
        first, offset, second, last = TinyModel(**asdict(self)).weights
        random = np.random.default_rng(self.seed + 1)
        first, offset, second, last = (
            (part * random.normal(1.0, 1e-3, part.shape)).astype(np.float32) for part in (first, offset, second, last)
        )
        return first, offset, second, last


def a_tiny_onnx_artifact(
    tiny: TinyModel | None = None,
    *,
    model: str = "digits",
    version: str = "1.0.0",
    counter: int = 1,
    profile: str = "raspberry-pi-4",
    budget: Budget | None = None,
) -> bytes:
    """Return the bytes of an artifact whose model file is ONNX and takes any batch."""
    tiny = tiny or TinyModel()
    manifest = _manifest(tiny, ModelFormat.ONNX, model=model, version=version, counter=counter, profile=profile)
    return _artifact(tiny, replace(manifest, budget=budget or Budget()), onnx_bytes(tiny))


def a_tiny_tflite_artifact(
    tiny: TinyModel | None = None,
    *,
    model: str = "digits",
    version: str = "1.0.0",
    counter: int = 1,
    profile: str = "raspberry-pi-4",
    budget: Budget | None = None,
) -> bytes:
    """Return the bytes of an artifact whose model file is TFLite and takes one row at a time."""
    tiny = tiny or TinyModel()
    manifest = _manifest(tiny, ModelFormat.TFLITE, model=model, version=version, counter=counter, profile=profile)
    return _artifact(tiny, replace(manifest, budget=budget or Budget()), tflite_bytes(tiny))


def onnx_bytes(tiny: TinyModel) -> bytes:
    """Return the model as an ONNX file of any batch."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    first, first_offset, second, last = tiny.weights
    weights: dict[str, NDArray[np.generic]] = {"w1": first, "b1": first_offset, "w2": second, "b2": last}
    nodes = [
        helper.make_node("Gemm", [INPUT, "w1", "b1"], ["h0"]),
        helper.make_node("Relu", ["h0"], ["h1"]),
        helper.make_node("Gemm", ["h1", "w2", "b2"], ["s0"]),
    ]
    if tiny.slow_products:
        widen, keep, narrow = _slow_weights(tiny)
        weights |= {"widen": widen, "keep": keep, "narrow": narrow}
        weights |= {"square": np.array([-1, SLOW_SIDE]), "flat": np.array([-1, SLOW_SIDE * SLOW_SIDE])}
        nodes += [helper.make_node("MatMul", ["s0", "widen"], ["wide"])]
        nodes += [helper.make_node("Reshape", ["wide", "square"], ["p0"])]
        nodes += [helper.make_node("MatMul", [f"p{i}", "keep"], [f"p{i + 1}"]) for i in range(tiny.slow_products)]
        nodes += [helper.make_node("Reshape", [f"p{tiny.slow_products}", "flat"], ["tall"])]
        nodes += [helper.make_node("MatMul", ["tall", "narrow"], ["s1"])]
    nodes.append(helper.make_node("Softmax", ["s1" if tiny.slow_products else "s0"], [OUTPUT], axis=-1))
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", tiny.features])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", tiny.classes])],
        [numpy_helper.from_array(weight, name) for name, weight in weights.items()],
    )
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(built)
    return bytes(built.SerializeToString())


def tflite_bytes(tiny: TinyModel) -> bytes:
    """Return the model as a TFLite file of batch 1."""
    from tests.tiny_tflite import Layer, classifier_bytes

    first, first_offset, second, last = tiny.weights
    layers = [Layer(weights=first, offsets=first_offset, relu=True), Layer(weights=second, offsets=last)]
    if tiny.slow_products:
        widen, keep, narrow = _slow_weights(tiny)
        slow = [Layer(weights=keep, rows=SLOW_SIDE)] * tiny.slow_products
        layers += [Layer(weights=widen), *slow, Layer(weights=narrow)]
    return classifier_bytes(layers, input_name=INPUT, output_name=OUTPUT)


def _slow_weights(tiny: TinyModel) -> tuple[Floats, Floats, Floats]:
    """Return three factors whose product is the identity: the middle one may be repeated."""
    widen = np.eye(tiny.classes, SLOW_SIDE * SLOW_SIDE, dtype=np.float32)
    return widen, np.eye(SLOW_SIDE, dtype=np.float32), np.ascontiguousarray(widen.T)


def _manifest(
    tiny: TinyModel, file_format: ModelFormat, *, model: str, version: str, counter: int, profile: str
) -> ArtifactManifest:
    batch = -1 if file_format is ModelFormat.ONNX else 1
    return ArtifactManifest(
        model=parse_model_name(model),
        version=version,
        counter=counter,
        profile=parse_profile_name(profile),
        format=file_format,
        inputs=(TensorSpec(name=INPUT, element=ElementType.FP32, shape=(-1, tiny.features), low=0.0, high=1.0),),
        outputs=(TensorSpec(name=OUTPUT, element=ElementType.FP32, shape=(-1, tiny.classes)),),
        model_inputs=(TensorSpec(name=INPUT, element=ElementType.FP32, shape=(batch, tiny.features)),),
        model_outputs=(TensorSpec(name=OUTPUT, element=ElementType.FP32, shape=(batch, tiny.classes)),),
        preprocessing=(),
        labels=tuple(f"class-{place}" for place in range(tiny.classes)),
        threads=1,
        budget=Budget(),
        golden=Golden(rows=GOLDEN_ROWS, tolerance=1e-3),
        sketch_plan=_sketch_plan(tiny),
        measurements=(
            Measurement(
                name="latency_p50_ms", value=0.02, n=100, taken_on=TakenOn.HOST, machine="made up by tests/builders.py"
            ),
        ),
        lineage=Lineage(
            source=digest_of(b"source"), data=digest_of(b"data"), passes=("built",), code_version="0", tools={}
        ),
    )


def _sketch_plan(tiny: TinyModel) -> SketchPlan:
    rows = tiny.rows(REFERENCE_ROWS, seed=1)
    classes, confidences = class_confidence(tiny.answers(rows))
    kinds = (FeatureKind.MEAN, FeatureKind.DEVIATION)
    features = tuple(
        feature_of(f"{INPUT}.{kind}", INPUT, kind, feature_values(kind, 0, rows)) for kind in kinds
    ) + tuple(
        feature_of(
            f"{INPUT}.{place}",
            INPUT,
            FeatureKind.ELEMENT,
            feature_values(FeatureKind.ELEMENT, place, rows),
            index=place,
        )
        for place in range(min(tiny.features, 4))
    )
    return SketchPlan(
        features=features,
        output=OutputReference(
            class_counts=tuple(int(count) for count in np.bincount(classes, minlength=tiny.classes)),
            confidence_counts=sketch_feature(confidences, CONFIDENCE_EDGES).counts,
        ),
    )


def _artifact(tiny: TinyModel, manifest: ArtifactManifest, content: bytes) -> bytes:
    rows = tiny.rows(GOLDEN_ROWS, seed=2)
    return write_artifact(
        manifest,
        {
            MODEL_MEMBER: content,
            "golden/input/0": rows.tobytes(),
            "golden/output/0": tiny.answers(rows).tobytes(),
        },
    )
