"""Any chain of sums, products, clips and layers answers as the original, whatever of it was folded."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.optimizer.formats.onnx_graphs import emitted, graph, node, weights

CHANNELS = 4
STEPS = (
    "Add",
    "Sub",
    "SubFrom",
    "Mul",
    "Div",
    "Neg",
    "Relu",
    "Clip",
    "Max",
    "Min",
    "Conv",
    "Padded",
    "Grouped",
    "ConvTranspose",
    "Again",
)
SHAPES = ((), (1,), (CHANNELS, 1, 1), (1, CHANNELS, 1, 1), (7,), (6, 1))
NUMBERS = (-1.5, 0.0, 0.5, 1.0, 3.0, 6.0)
KERNELS = {"kernel": weights(4, 4, 1, 1), "padded": weights(4, 4, 3, 3), "grouped": weights(4, 2, 1, 1)}


@st.composite
def chains(draw: st.DrawFn) -> tuple[list[Any], dict[str, Any]]:
    """Draw nodes, each reading the one before, and their constants."""
    constants: dict[str, Any] = dict(KERNELS)
    nodes: list[Any] = []
    for place in range(draw(st.integers(2, 8))):
        step, value, constant, output = draw(st.sampled_from(STEPS)), f"v{place}", f"c{place}", f"v{place + 1}"
        array = weights(*draw(st.sampled_from(SHAPES)), seed=place)
        number = np.asarray(draw(st.sampled_from(NUMBERS)), dtype=np.float32)
        constants[constant] = number if step in ("Max", "Min") else np.asarray(np.sign(array) + array / 4)
        constants |= {f"low{place}": np.minimum(number, 0.5), f"high{place}": np.maximum(number, 0.5)}
        earlier = f"v{draw(st.integers(0, place))}"
        nodes.append(
            {
                "SubFrom": node("Sub", f"{constant} {value}", output),
                "Neg": node("Neg", value, output),
                "Relu": node("Relu", value, output),
                "Clip": node("Clip", f"{value} low{place} high{place}", output),
                "Conv": node("Conv", f"{value} kernel", output),
                "Padded": node("Conv", f"{value} padded", output, pads=[1, 1, 1, 1]),
                "Grouped": node("Conv", f"{value} grouped", output, group=2),
                "ConvTranspose": node("ConvTranspose", f"{value} kernel", output),
                "Again": node("Add", f"{value} {earlier}", output),
            }.get(step)
            or node(step, f"{value} {constant}", output)
        )
    nodes.append(node("Identity", f"v{len(nodes)}", "y"))
    return nodes, constants


@pytest.mark.slow
@settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(chain=chains())
def test_a_chain_answers_as_the_original(chain: tuple[list[Any], dict[str, Any]]) -> None:
    nodes, constants = chain

    result = emitted(graph(*nodes, inputs={"v0": (1, CHANNELS, 6, 7)}, constants=constants))

    assert result.content
