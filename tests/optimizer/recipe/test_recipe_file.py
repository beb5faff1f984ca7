"""Recipes: a pipeline spelt in TOML, one to one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.preprocessing import Step, StepKind
from optimizer.data.splits import DataOptions, Order
from optimizer.errors import RecipeError
from optimizer.passes import Activation, CalibrationMethod, QuantizeStatic, SimplifyOnnx
from optimizer.recipe import Recipe, Subject, dump, load, load_text, parse_step, pass_named

_TEXT = """\
model = "weld.onnx"
target = "raspberry-pi-4"
data = "line-3.npz"

[[preprocess]]
kind = "scale"
tensor = "image"
factor = [0.0625]

[[pass]]
use = "simplify-onnx"

[[pass]]
use = "quantize-static"
activation = "QInt8"
per_channel = false
rows = 256
"""


def test_a_recipe_is_constructor_calls() -> None:
    recipe = load_text(_TEXT)

    about = recipe.subject
    assert (about.model, about.target, about.data) == ("weld.onnx", "raspberry-pi-4", "line-3.npz")
    assert about.preprocessing == (Step(kind=StepKind.SCALE, tensor="image", factor=(0.0625,)),)
    assert recipe.steps == (
        SimplifyOnnx(),
        QuantizeStatic(activation=Activation.QINT8, per_channel=False, rows=256),
    )


def test_a_canonical_recipe_survives_word_for_word() -> None:
    assert dump(load_text(_TEXT)) == _TEXT


@given(
    rows=st.integers(1, 10_000),
    activation=st.sampled_from(Activation),
    method=st.sampled_from(CalibrationMethod),
    order=st.sampled_from(Order),
    keep=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), max_size=3),
    factors=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4),
    model=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
)
def test_any_recipe_survives_the_way_through_text(
    *,
    rows: int,
    activation: Activation,
    method: CalibrationMethod,
    order: Order,
    keep: list[str],
    factors: list[float],
    model: str,
) -> None:
    recipe = Recipe(
        subject=Subject(
            model=model,
            target="t",
            shapes=(f"{model}=1,3",),
            options=DataOptions(label=model, seed=rows, order=order),
            preprocessing=(Step(kind=StepKind.SCALE, tensor=model, factor=tuple(factors)),),
        ),
        steps=(QuantizeStatic(rows=rows, activation=activation, method=method, keep=tuple(keep)),),
    )

    assert load_text(dump(recipe)) == recipe


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("rows = 256", "row = 256", "pass quantize-static has no key 'row'; did you mean 'rows'?"),
        ('use = "simplify-onnx"', 'use = "simplify-onx"', "no pass 'simplify-onx'; did you mean 'simplify-onnx'?"),
        ("target", "tarjet", "the recipe has no key 'tarjet'; did you mean 'target'?"),
        ("[[preprocess]]", '[options]\norder = "tme"\n\n[[preprocess]]', "order = 'tme'; give one of shuffled, time"),
        ("[[preprocess]]", "[options]\nsed = 3\n\n[[preprocess]]", "options has no key 'sed'; did you mean 'seed'?"),
        ("rows = 256", "keep = 'conv1'", "a list of names is wanted"),
        ('data = "line-3.npz"', "shapes = 3", "shapes = 3 must be a list of texts"),
        ("factor", "faktor", "preprocess has no key 'faktor'; did you mean 'factor'?"),
        ("rows = 256", 'rows = "many"', "rows = 'many' is str; int is wanted"),
        ("per_channel = false", "per_channel = 0", "per_channel = 0 is int; bool is wanted"),
        ('"QInt8"', '"QInt9"', "activation = 'QInt9'; give one of QUInt8, QInt8"),
        ('model = "weld.onnx"', "", "model is missing"),
        ('model = "weld.onnx"', "model = 3", "model = 3 must be text in quotes"),
        ('kind = "scale"', 'kind = "blur"', "preprocess: Step.kind"),
        ("[[pass]]", "[pass]", "TOML"),
        ('use = "simplify-onnx"', "", "use is missing"),
    ],
)
def test_a_mistake_is_named_with_the_nearest_right_word(old: str, new: str, sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_text(_TEXT.replace(old, new, 1))

    assert sentence in str(caught.value)


def test_a_table_where_a_list_of_tables_belongs_is_said() -> None:
    with pytest.raises(RecipeError, match=r"each headed \[\[pass\]\]"):
        load_text('model = "m"\ntarget = "t"\npass = "quantize-static"\n')


def test_paths_count_from_the_recipes_folder(tmp_path: Path) -> None:
    path = tmp_path / "weld.toml"
    path.write_text(_TEXT, encoding="utf-8")

    recipe = load(path)

    assert recipe.subject.model == str(tmp_path / "weld.onnx")
    assert recipe.subject.data == str(tmp_path / "line-3.npz")


def test_a_function_of_a_module_is_no_path_and_one_of_a_file_is(tmp_path: Path) -> None:
    subject = Subject(model="weld.nets:build", builder="nets.py:build", target="t", data="rows", metric="auc")

    found = subject.beside(tmp_path)

    assert (found.model, found.metric) == ("weld.nets:build", "auc")
    assert (found.builder, found.data) == (str(tmp_path / "nets.py:build"), str(tmp_path / "rows"))


def test_a_mistake_in_a_file_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "weld.toml"
    path.write_text("model = ", encoding="utf-8")

    with pytest.raises(RecipeError, match=r"weld\.toml: not TOML"):
        load(path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot read recipe"):
        load(tmp_path / "absent.toml")


def test_a_pass_is_found_by_its_name() -> None:
    assert pass_named("quantize-static") is QuantizeStatic


def test_a_factor_for_all_channels() -> None:
    assert parse_step("image:scale=0.0625") == Step(kind=StepKind.SCALE, tensor="image", factor=(0.0625,))


def test_a_factor_and_an_offset_for_each_channel() -> None:
    step = parse_step("image:scale=0.1,0.2:offset=-1,2")

    assert (step.factor, step.offset) == ((0.1, 0.2), (-1.0, 2.0))


def test_a_step_that_turns_channels_last() -> None:
    assert parse_step("image:channel_last").kind is StepKind.CHANNEL_LAST


@pytest.mark.parametrize("text", ["", "image", ":scale=1", "image:scale=x", "image:blur=3", "image:scale=1:scale_=2"])
def test_anything_else_is_no_step_and_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(RecipeError, match=r"write TENSOR:scale=FACTOR"):
        parse_step(text)
