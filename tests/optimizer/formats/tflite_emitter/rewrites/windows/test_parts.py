"""Slices that part a value become one SPLIT; that they answer as ONNX Runtime does is checked by ``emitted``."""

from __future__ import annotations

from tests.optimizer.formats.onnx_graphs import emitted, graph, node, numbers, operators

CUTS = {"zero": numbers(0), "two": numbers(2), "four": numbers(4), "last": numbers(2)}


def test_a_stretch_that_is_cut_out_twice_is_cut_once() -> None:
    parts = (
        node("Slice", "x zero two last", "first"),
        node("Slice", "x two four last", "second"),
        node("Slice", "x zero two last", "again"),
        node("Slice", "x two four last", "too"),
        node("Sub", "first second", "low"),
        node("Add", "again too", "high"),
        node("Concat", "low high", "y", axis=2),
    )

    result = emitted(graph(*parts, inputs={"x": (1, 5, 4)}, constants=CUTS))

    assert operators(result) == {"SPLIT": 1, "SUB": 1, "ADD": 1, "CONCATENATION": 1}


def test_a_second_cut_that_is_an_output_stays() -> None:
    parts = (
        node("Slice", "x zero two last", "first"),
        node("Slice", "x zero two last", "z"),
        node("Relu", "first", "y"),
    )

    result = emitted(graph(*parts, inputs={"x": (1, 5, 4)}, constants=CUTS, outputs="y z"))

    assert operators(result)["RELU"] == 1
