"""Which channels go first, and what a search is told of each cut."""

from __future__ import annotations

import pytest

from optimizer.errors import PassFailed
from optimizer.passes.prune_channels.choices import possible_choices
from optimizer.passes.prune_channels.cuts import refit
from optimizer.passes.prune_channels.importance import Importance, atom_scores, least_important
from optimizer.passes.prune_channels.units import answers, copied, cut_unit, zero_unit
from tests.optimizer.passes.prune_channels.nets import a_line_model, an_image_model, opened, rows_of, unit_named

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("importance", list(Importance))
def test_channels_that_carry_nothing_go_first(importance: Importance) -> None:
    model = an_image_model("residual")
    net, structure = opened(model)
    unit, rows = unit_named(structure, "one"), rows_of(model, 8)
    zero_unit(net, unit, [2, 5], rows)

    scores = atom_scores(net, unit, rows, importance)

    assert least_important(scores, 2) == [2, 5]
    assert scores[[2, 5]].max() < scores[[0, 1, 3, 4, 6, 7]].min()


def test_every_cut_comes_with_its_harm() -> None:
    model = a_line_model("spelt-encoder")
    rows = {"x": rows_of(model, 16)[0].numpy()}

    found = possible_choices(model, rows, multiple=4)

    errors = {(one.layer, one.width): one.error for one in found.choices}
    heads = {("1.main.1.out_query", width) for width in (12, 8, 4)}
    assert set(errors) == heads | {("2", 8), ("2", 4), ("1.main.1.out", 0)}
    assert min(errors.values()) > 0
    assert set(found.refused) == {"0", "3"}


def test_a_cut_on_a_branch_names_the_branch() -> None:
    model = an_image_model("residual")

    found = possible_choices(model, {"x": rows_of(model, 16)[0].numpy()}, multiple=4)

    within = {one.layer: one.within for one in found.choices}
    branches = {one.layer for one in found.choices if not one.width}
    assert branches
    assert set(within["one"]) == branches
    assert all(within[branch] == () for branch in branches)


def test_what_reads_a_cut_is_fitted_to_what_it_answered_before() -> None:
    model = an_image_model("plain")
    net, structure = opened(model)
    rows, unit = rows_of(model, 32), structure.units[0]
    cut, fitted = copied(net), copied(net)
    atoms = least_important(atom_scores(net, unit, rows, Importance.ACTIVATION), len(unit.atoms) // 2)
    for one in (cut, fitted):
        cut_unit(one, unit, atoms, rows_of(model))

    refit(fitted, net, unit.readers[0], rows)

    before, plain, better = (answers(one, rows)[0] for one in (net, cut, fitted))
    assert float((better - before).square().mean()) < 0.7 * float((plain - before).square().mean())


def test_nothing_to_cut_is_an_error_with_every_reason() -> None:
    model = a_line_model("gru")

    with pytest.raises(PassFailed, match=r"recurrent.*the model's outputs"):
        possible_choices(model, {"x": rows_of(model)[0].numpy()})
