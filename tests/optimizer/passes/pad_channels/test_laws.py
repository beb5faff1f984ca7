"""What padding holds for whatever net: the same answers, the same names, whole blocks."""

from __future__ import annotations

from itertools import starmap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from optimizer.errors import PassFailed
from optimizer.model import Model
from optimizer.pass_ import Observations
from optimizer.passes import PadChannels
from tests.optimizer.passes.pad_channels.nets import nets, tensors, widths
from tests.optimizer.passes.seeing import relative_error

_NOTHING = Observations()


def _padded(net: Model, multiple: int) -> Model:
    """Return the padded net; the net itself where there is nothing to pad."""
    try:
        return PadChannels(multiple=multiple, most_ratio=1000.0).run(net, _NOTHING)
    except PassFailed:
        return net


def _is_whole(before: int, after: int, multiple: int) -> bool:
    return after == before or (after > before and after % multiple == 0)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(net=nets(), multiple=st.sampled_from([4, 8, 16]))
def test_a_padded_net_answers_the_same_under_the_same_names(net: Model, multiple: int) -> None:
    padded = _padded(net, multiple)

    outputs = [(before[0], after[0], multiple) for before, after in zip(widths(net), widths(padded), strict=True)]
    assert relative_error(padded, net) < 1e-5
    assert tensors(padded) == tensors(net)
    assert (padded.inputs, padded.outputs) == (net.inputs, net.outputs)
    assert all(starmap(_is_whole, outputs))


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(net=nets())
def test_what_was_padded_has_nothing_left_to_pad(net: Model) -> None:
    once = _padded(net, 16)

    assert _padded(once, 16) == once
