"""What is watched follows from the shape of the input."""

from __future__ import annotations

import numpy as np
import pytest

from contracts.sketch import FeatureKind, OutputReference
from contracts.tensors import ElementType, TensorSpec
from optimizer.data.rows import ArrayRows
from optimizer.errors import PackingError
from optimizer.packing.sketch_plan import output_reference, plan_sketch

NO_CLASSES = OutputReference(class_counts=(), confidence_counts=())


def an_input(*shape: int) -> TensorSpec:
    """Return the input ``x`` of that row shape."""
    return TensorSpec(name="x", element=ElementType.FP32, shape=(-1, *shape))


def names_for(*shape: int, columns: tuple[str, ...] = ()) -> list[str]:
    """Return the names of the features planned for an input of that row shape."""
    rows = np.random.default_rng(0).normal(size=(50, *shape))
    plan = plan_sketch((an_input(*shape),), [ArrayRows({"x": rows})], NO_CLASSES, columns=columns)
    return [feature.name for feature in plan.features]


def test_a_table_is_watched_element_by_element() -> None:
    assert names_for(3) == ["x[0]", "x[1]", "x[2]"]


def test_columns_give_a_table_its_names() -> None:
    assert names_for(3, columns=("load", "heat", "speed")) == ["load", "heat", "speed"]


def test_a_wide_table_is_watched_as_a_whole_whatever_its_columns_are_called() -> None:
    assert names_for(40, columns=tuple(f"c{place}" for place in range(40))) == ["x.mean", "x.deviation", "x.roughness"]


def test_the_reference_is_all_bodies_of_rows() -> None:
    rows = np.random.default_rng(0).normal(size=(700, 2))

    parts = plan_sketch((an_input(2),), [ArrayRows({"x": rows[:300]}), ArrayRows({"x": rows[300:]})], NO_CLASSES)

    assert parts == plan_sketch((an_input(2),), [ArrayRows({"x": rows})], NO_CLASSES)


def test_an_image_is_watched_as_a_whole_and_by_region() -> None:
    names = names_for(1, 8, 8)

    assert names[:3] == ["x.brightness", "x.contrast", "x.sharpness"]
    assert names[3:] == [f"x.region-{row}-{column}" for row in range(4) for column in range(4)]


def test_a_channel_last_image_has_no_regions_over_its_channels() -> None:
    assert names_for(8, 8, 3) == ["x.brightness", "x.contrast", "x.sharpness"]


def test_a_long_row_is_watched_by_mean_deviation_and_roughness() -> None:
    assert names_for(6, 40) == ["x.mean", "x.deviation", "x.roughness"]


@pytest.mark.filterwarnings("error")
def test_a_row_without_neighbours_has_no_roughness() -> None:
    assert names_for(20, 1) == ["x.mean", "x.deviation"]


def test_the_reference_counts_every_row() -> None:
    rows = np.random.default_rng(0).normal(size=(70, 2))
    rows[5, 1] = np.nan

    plan = plan_sketch((an_input(2),), [ArrayRows({"x": rows})], NO_CLASSES)

    assert [feature.kind for feature in plan.features] == [FeatureKind.ELEMENT, FeatureKind.ELEMENT]
    assert [(feature.reference.rows, feature.reference.missing) for feature in plan.features] == [(70, 0), (69, 1)]


@pytest.mark.parametrize(
    ("columns", "words"),
    [(("a", "b"), "2 column names fit no input"), (("a", "a", "b"), "a appears more than once")],
)
def test_columns_that_do_not_fit_are_refused(columns: tuple[str, ...], words: str) -> None:
    with pytest.raises(PackingError, match=words):
        names_for(3, columns=columns)


def test_the_output_reference_counts_classes_and_confidence() -> None:
    answers = np.asarray([[0.2, 0.8], [0.995, 0.005], [3.0, -3.0]], dtype=np.float32)

    reference = output_reference(answers)

    assert reference.class_counts == (2, 1)
    assert sum(reference.confidence_counts) == 3
    assert reference.confidence_counts[-1] == 2
