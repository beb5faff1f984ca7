"""Courses: cut, train, round; told, kept, and gone on with."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contracts.ids import digest_of
from optimizer.calibration.rows import CalibrationSet
from optimizer.errors import PassFailed
from optimizer.model import Model
from optimizer.pass_ import Desk, Observations
from optimizer.passes import ExportOnnx, FineTune, Importance, PruneChannels
from optimizer.passes.prune_channels.fake_quant import fold_batch_norms, round_while_training, stop_rounding
from optimizer.passes.prune_channels.units import answers
from optimizer.pipeline import Pipeline
from optimizer.recipe import Recipe, Subject
from optimizer.served import serve
from optimizer.store import Kind, MemoryStore
from optimizer.user_function import code_of
from tests.optimizer.builders import a_profile
from tests.optimizer.passes.prune_channels.nets import a_line_model, an_image_model, opened, rows_of

pytestmark = pytest.mark.slow

_SHORT = PruneChannels(epochs=3, rounded_epochs=2, steps=2, batch=16, importance=Importance.TAYLOR)


def _rows(model: Model, count: int = 48) -> dict[str, NDArray[np.float32]]:
    return {spec.name: one.numpy() for spec, one in zip(model.inputs, rows_of(model, count), strict=True)}


def _error(model: Model, other: Model) -> float:
    held = {name: values + 0.1 for name, values in _rows(model).items()}
    one, two = (serve(each, model, ()).infer(held)["output"] for each in (model, other))
    return float(((one - two) ** 2).mean() / one.var())


def _desk_that_dies(after: int, kept: list[bytes]) -> Desk:
    def keep(content: bytes) -> None:
        kept.append(content)
        if len(kept) == after:
            raise KeyboardInterrupt

    return Desk(keep=keep)


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_a_course_that_was_killed_goes_on_and_ends_with_the_same_bytes(epochs: int) -> None:
    model = an_image_model("residual")
    whole = _SHORT.run(model, Observations(rows=_rows(model)))
    kept: list[bytes] = []
    with pytest.raises(KeyboardInterrupt):
        _SHORT.run(model, Observations(rows=_rows(model), desk=_desk_that_dies(epochs, kept)))
    told: list[str] = []
    desk = Desk(kept=lambda: kept[-1], progress=lambda words, _share: told.append(words))

    resumed = _SHORT.run(model, Observations(rows=_rows(model), desk=desk))

    assert resumed.content == whole.content
    assert len(told) == 5 - epochs


def test_kept_work_that_is_damaged_is_begun_anew() -> None:
    model = an_image_model("residual")
    whole = _SHORT.run(model, Observations(rows=_rows(model)))

    again = _SHORT.run(model, Observations(rows=_rows(model), desk=Desk(kept=lambda: b"0" * 80)))

    assert again.content == whole.content


def _forged(**changes: object) -> bytes:
    """Return what a course of ``_SHORT`` keeps after its first epoch, changed."""
    import torch

    model, kept = an_image_model("residual"), list[bytes]()
    with pytest.raises(KeyboardInterrupt):
        _SHORT.run(model, Observations(rows=_rows(model), desk=_desk_that_dies(1, kept)))
    fields = torch.load(io.BytesIO(kept[0][64:]), weights_only=True) | changes
    return _sealed({name: value for name, value in fields.items() if value is not None})


def _sealed(fields: object) -> bytes:
    import torch

    file = io.BytesIO()
    torch.save(fields, file)
    return digest_of(file.getvalue()).encode() + file.getvalue()


_FORGED: dict[str, Callable[[], bytes]] = {
    "no content": lambda: digest_of(b"").encode(),
    "a number": lambda: _sealed(7),
    "another phase": lambda: _forged(phase=9),
    "a phase below 0": lambda: _forged(phase=-1, cuts=[]),
    "more epochs than there are": lambda: _forged(epoch=99),
    "no epoch": lambda: _forged(epoch="one"),
    "a field of another name": lambda: _forged(colour=1),
    "a field too few": lambda: _forged(weights=None),
    "cuts of no layer": lambda: _forged(cuts=[[("no such layer", [0])]]),
    "cuts of no channel": lambda: _forged(cuts=[[("one", [4_000])]]),
    "cuts that are none": lambda: _forged(cuts=[3]),
    "another network's weights": lambda: _forged(weights={"x": 1}),
    "another network's best": lambda: _forged(best={"x": 1}),
    "another optimizer": lambda: _forged(optimizer={"state": {}, "param_groups": []}),
}


@pytest.mark.parametrize("forged", _FORGED)
def test_kept_work_that_cannot_be_of_the_course_is_begun_anew(forged: str) -> None:
    model = an_image_model("residual")
    whole = _SHORT.run(model, Observations(rows=_rows(model)))
    content = _FORGED[forged]()

    again = _SHORT.run(model, Observations(rows=_rows(model), desk=Desk(kept=lambda: content)))

    assert again.content == whole.content


def test_training_never_leaves_a_network_worse_than_it_found_it() -> None:
    model = an_image_model("residual")
    wild = FineTune(epochs=2, rounded_epochs=0, batch=16, rate=1.0)

    found = wild.run(model, Observations(rows=_rows(model, 80)))

    assert _error(model, found) < 1e-9


def test_training_brings_the_answers_back() -> None:
    model = an_image_model("residual")
    cut = PruneChannels(widths=("norm=0",), epochs=0, rounded_epochs=0)
    trained = PruneChannels(widths=("norm=0",), epochs=20, rounded_epochs=2, batch=16, rate=0.01)

    untaught, taught = (step.run(model, Observations(rows=_rows(model))) for step in (cut, trained))

    assert _error(model, taught) < 0.1 * _error(model, untaught)
    assert taught.size_bytes < model.size_bytes


def test_layers_that_read_one_cut_and_give_another_are_cut_on_both_sides() -> None:
    model = an_image_model("residual")

    narrow = PruneChannels(widths=("stem=4", "one=4"), epochs=0, rounded_epochs=0)
    found = narrow.run(model, Observations(rows=_rows(model)))

    assert _error(model, found) < 0.01
    assert found.size_bytes < model.size_bytes


def test_progress_says_what_is_trained_and_ends_at_the_whole() -> None:
    model, told = an_image_model("plain"), list[tuple[str, float]]()
    desk = Desk(progress=lambda words, share: told.append((words, share)))

    FineTune(epochs=2, rounded_epochs=1, batch=16).run(model, Observations(rows=_rows(model), desk=desk))

    assert [words.partition(":")[0] for words, _ in told] == ["dense", "dense", "with rounding"]
    assert [round(share, 2) for _, share in told] == [0.33, 0.67, 1.0]


def test_a_function_of_the_users_trains_instead(tmp_path: Path) -> None:
    model = an_image_model("plain")
    file = tmp_path / "mine.py"
    file.write_text(
        "def teach(net, epochs, seed):\n    for one in net.parameters():\n        one.data.fill_(epochs / 8)\n"
    )
    step = PruneChannels(epochs=4, rounded_epochs=0, train=f"{file}:teach")

    taught = step.run(model, Observations(rows=_rows(model)))

    answer = serve(taught, model, ()).infer({"x": np.zeros((1, 3, 8, 8), np.float32)})["output"]
    assert np.ptp(answer) < 1e-4
    assert abs(float(answer[0, 0])) > 0.5


_UNFIT = {
    "return net.state_dict()": "returned a .*Dict, which nobody reads",
    "return 0.5": "returned a float, which nobody reads",
    "next(net.parameters()).data.fill_(float('nan'))": "left .* with values that are no numbers",
    "net.extra = torch.nn.Linear(2, 2)": "changed the network's form: extra.bias was not there",
}


@pytest.mark.parametrize("line", _UNFIT)
def test_a_function_that_leaves_no_trained_network_is_refused(tmp_path: Path, line: str) -> None:
    model, file = an_image_model("plain"), tmp_path / "mine.py"
    file.write_text(f"import torch\n\n\ndef teach(net, epochs, seed):\n    {line}\n")

    with pytest.raises(PassFailed, match=_UNFIT[line]):
        PruneChannels(epochs=1, train=f"{file}:teach").run(model, Observations(rows=_rows(model)))


def test_a_function_that_switches_slopes_off_switches_them_off_for_itself_alone(tmp_path: Path) -> None:
    import torch

    model, file = an_image_model("plain"), tmp_path / "mine.py"
    file.write_text(
        "import torch\n\n\ndef teach(net, epochs, seed):\n    torch.set_grad_enabled(False)\n"
        "    net.requires_grad_(False)\n    return net\n"
    )
    step = PruneChannels(epochs=1, rounded_epochs=1, batch=16, train=f"{file}:teach")

    trained = step.run(model, Observations(rows=_rows(model)))

    assert trained.size_bytes < model.size_bytes
    assert torch.is_grad_enabled()


def test_a_function_whose_file_changed_since_trains_nothing(tmp_path: Path) -> None:
    model, file = an_image_model("plain"), tmp_path / "mine.py"
    file.write_text("def teach(net, epochs, seed):\n    pass\n")
    code = code_of(f"{file}:teach", error=PassFailed)
    step = FineTune(epochs=1, rounded_epochs=0, train=f"{file}:teach", code=code)
    step.run(model, Observations(rows=_rows(model)))

    file.write_text("def teach(net, epochs, seed):\n    net.zero_grad()\n")

    with pytest.raises(PassFailed, match="it was changed; put it back, or search again"):
        step.run(model, Observations(rows=_rows(model)))


def test_a_recipe_knows_the_code_that_its_passes_run() -> None:
    recipe = Recipe(
        subject=Subject(model="nets.py:build", target="host"), steps=(FineTune(train="mine.py:teach"), FineTune())
    )

    assert recipe.functions == ("nets.py:build", "mine.py:teach")


def test_a_function_that_fails_is_named() -> None:
    model = an_image_model("plain")
    step = PruneChannels(epochs=1, train="no_such_module:teach")

    with pytest.raises(PassFailed, match="no_such_module"):
        step.run(model, Observations(rows=_rows(model)))


def test_rounding_moves_answers_a_little_while_it_lasts_and_leaves_the_network_as_it_was() -> None:
    model = an_image_model("residual")
    net, _ = opened(model)
    rows = rows_of(model, 32)
    plain = answers(net, rows)[0]
    fold_batch_norms(net)
    folded = answers(net, rows)[0]

    round_while_training(net)
    answers(net.train(), rows)
    rounded = answers(net.eval(), rows)[0]
    stop_rounding(net)

    assert float((folded - plain).abs().max()) < 1e-4
    assert 0 < float((rounded - plain).abs().max()) < 0.1 * float(plain.abs().max())
    assert float((answers(net, rows)[0] - folded).abs().max()) == 0.0


@pytest.mark.parametrize("kind", ["own-encoder", "spelt-encoder"])
def test_an_encoder_with_fewer_heads_goes_on_to_onnx(kind: str) -> None:
    model = a_line_model(kind)
    pruned = PruneChannels(ratio=0.5, epochs=1, rounded_epochs=1).run(model, Observations(rows=_rows(model)))

    onnx = ExportOnnx().run(pruned, Observations())

    assert _error(pruned, onnx) < 1e-6
    assert pruned.size_bytes < model.size_bytes


_PASSES: list[Callable[[], PruneChannels]] = [
    lambda: PruneChannels(widths=("0=4", "0=8")),
    lambda: PruneChannels(ratio=1.0),
    lambda: PruneChannels(steps=0),
    lambda: PruneChannels(rate=0.0),
    lambda: PruneChannels(batch=1),
]


@pytest.mark.parametrize("made", _PASSES)
def test_numbers_that_cannot_be_are_objected_to(made: Callable[[], PruneChannels]) -> None:
    assert len(list(made().objections(an_image_model("plain").spec, a_profile()))) == 1


def test_a_plan_keeps_unfinished_training_in_its_store_and_drops_it_when_done() -> None:
    model, store, ticks = an_image_model("plain"), MemoryStore(), iter(range(0, 10_000, 10))
    data = CalibrationSet.of({"x": _rows(model)["x"]})
    step = FineTune(epochs=3, rounded_epochs=0, batch=16)
    plan = Pipeline(step).plan(model, a_profile(), calibration=data, store=store)
    told: list[str] = []

    def die_late(words: str, share: float) -> None:
        told.append(words)
        if share > 0.9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan.run(progress=die_late, clock=lambda: float(next(ticks)))
    done = plan.run(progress=lambda words, _share: told.append(words), clock=lambda: float(next(ticks)))

    assert [words.split(",")[0] for words in told] == [f"dense: epoch {epoch} of 3" for epoch in (1, 2, 3, 3)]
    assert done.model.digest == step.run(model, Observations(rows=_rows(model))).digest
    assert _kinds(store) == {Kind.FACTS, Kind.MODEL}


def _kinds(store: MemoryStore) -> set[Kind]:
    return {kind for _, kind in store._kept}
