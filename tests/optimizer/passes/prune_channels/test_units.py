"""What hangs together, and that cutting channels that are zero changes nothing."""

from __future__ import annotations

import pytest

from optimizer.errors import PassFailed
from optimizer.passes.prune_channels.modules import operator
from optimizer.passes.prune_channels.units import answers, copied, cut_unit, leave_out, zero_unit
from tests.optimizer.passes.prune_channels.nets import a_line_model, an_image_model, opened, rows_of, unit_named

pytestmark = pytest.mark.slow

_IMAGES = [
    ("plain", "0", 16, 1),
    ("plain", "3", 8, 1),  # flattened before a dense layer, behind a sigmoid: its zeros are read as 0.5
    ("separable", "0", 16, 1),
    ("grouped", "0", 16, 4),
    ("grouped", "2", 16, 4),
    ("residual", "stem", 16, 1),
    ("residual", "one", 8, 1),
    ("joined", "left", 8, 1),
    ("joined", "right", 16, 1),
]


@pytest.mark.parametrize(("kind", "layer", "channels", "block"), _IMAGES)
def test_cutting_channels_of_an_image_that_are_zero_changes_no_answer(
    kind: str, layer: str, channels: int, block: int
) -> None:
    import torch

    model = an_image_model(kind)
    net, structure = opened(model)
    unit, rows = unit_named(structure, layer), rows_of(model)
    zeroed = copied(net)
    zero_unit(zeroed, unit, [0, len(unit.atoms) - 1], rows)
    cut = copied(zeroed)

    cut_unit(cut, unit, [0, len(unit.atoms) - 1], rows)

    assert (unit.channels, unit.block) == (channels, block)
    assert torch.allclose(answers(cut, rows)[0], answers(zeroed, rows)[0], atol=1e-5)
    assert not torch.allclose(answers(cut, rows)[0], answers(net, rows)[0], atol=1e-4)
    assert sum(one.numel() for one in cut.parameters()) < sum(one.numel() for one in net.parameters())


@pytest.mark.parametrize(
    ("kind", "layer"),
    [("own-encoder", "1.layers.0.self_attn.out_proj_query"), ("spelt-encoder", "1.main.1.out_query")],
)
def test_a_head_of_attention_goes_as_a_whole(kind: str, layer: str) -> None:
    import torch

    model = a_line_model(kind)
    net, structure = opened(model)
    unit, rows = unit_named(structure, layer), rows_of(model)
    zeroed = copied(net)
    zero_unit(zeroed, unit, [1], rows)
    cut = copied(zeroed)

    cut_unit(cut, unit, [1], rows)

    assert [len(atom) for atom in unit.atoms] == [4, 4, 4, 4]
    assert torch.allclose(answers(cut, rows)[0], answers(zeroed, rows)[0], atol=1e-5)


@pytest.mark.parametrize("kind", ["own-encoder", "spelt-encoder"])
def test_attention_in_plain_form_answers_as_the_program_does(kind: str) -> None:
    import torch

    from optimizer.formats.torch_format import open_program

    model = a_line_model(kind)
    net, _ = opened(model)
    rows = rows_of(model, 5)

    own = open_program(model.content, kind)[0].module()(*rows)

    assert torch.allclose(answers(net, rows)[0].float(), own, atol=1e-5)
    assert not {operator(node) for node in net.graph.nodes} & {"scaled_dot_product_attention", "softmax"}


def test_channels_under_a_layer_norm_and_those_of_the_answer_are_refused_by_name() -> None:
    _, structure = opened(a_line_model("spelt-encoder"))

    refused = dict(structure.refused)

    assert refused == {
        "0": "1.main.0 normalizes over its channels",
        "3": "its channels are the model's outputs",
    }


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_a_recurrent_layer_is_named_and_not_passed_over(kind: str) -> None:
    with pytest.raises(PassFailed, match=f"{kind.upper()} 'layer': recurrent"):
        opened(a_line_model(kind))


def test_a_branch_that_is_left_out_takes_its_layers_along() -> None:
    net, structure = opened(an_image_model("residual"))
    rows = rows_of(an_image_model("residual"))

    leave_out(net, "norm")

    assert structure.branches == ("norm",)
    assert {name for name, module in net.named_modules() if list(module.parameters(recurse=False))} == {"stem", "last"}
    assert answers(net, rows)[0].shape == (3, 5)
