"""Bars of layers and operators."""

from __future__ import annotations

from optimizer.benchmark.operators import OperatorProfile, OperatorTime
from optimizer.metrics.sensitivity import LayerSensitivity
from optimizer.report.layers import MOST_LAYERS, operator_bars, sensitivity_bars, slowest


def _layer(name: str, error: float) -> LayerSensitivity:
    return LayerSensitivity(layer=name, error=error, n=100)


def _profile(**p50_us: float) -> OperatorProfile:
    operators = tuple(
        OperatorTime(name=name, operator=name.rstrip("0123456789"), p50_us=time, told_us=time, share=0.1)
        for name, time in p50_us.items()
    )
    return OperatorProfile(operators=operators, wall_p50_us=1.0, told_us=1.0, runs=9, threads=1, machine="m")


def test_the_worst_layer_comes_first_and_spans_the_chart() -> None:
    chart = sensitivity_bars([_layer("a", 0.01), _layer("b", 0.04)])

    assert chart is not None
    assert [(bar.name, bar.text) for bar in chart.bars] == [("b", "0.04"), ("a", "0.01")]
    assert chart.bars[1].width == chart.bars[0].width / 4


def test_a_long_name_keeps_its_end_which_tells_layers_apart() -> None:
    chart = sensitivity_bars([_layer("/encoder/layer.3/attention/output/dense/MatMul_output_0", 0.1)])

    assert chart is not None
    assert (chart.bars[0].name, chart.bars[0].full_name[-8:]) == ("…ntion/output/dense/MatMul", "output_0")


def test_layers_that_matter_least_are_counted() -> None:
    chart = sensitivity_bars([_layer(str(place), place) for place in range(40)])

    assert chart is not None
    assert (len(chart.bars), chart.left_out) == (MOST_LAYERS, 40 - MOST_LAYERS)


def test_layers_that_move_nothing_have_bars_all_the_same() -> None:
    chart = sensitivity_bars([_layer("a", 0.0)])

    assert chart is not None
    assert chart.bars[0].width >= 1


def test_time_is_summed_by_operator_original_above_winner() -> None:
    chart = operator_bars(
        {"as given": _profile(Conv1=30, Conv2=10, Relu=8), "int8": _profile(QLinearConv=12, Conv=9)}, winner="int8"
    )

    assert chart is not None
    assert [(bar.name, bar.kind, bar.text) for bar in chart.bars] == [
        ("Conv", "original", "40 us"),
        ("", "winner", "9 us"),
        ("QLinearConv", "winner", "12 us"),
        ("Relu", "original", "8 us"),
    ]


def test_nothing_measured_is_no_chart() -> None:
    assert sensitivity_bars([]) is None
    assert operator_bars({"as given": _profile()}) is None


def test_the_slowest_operations_come_first() -> None:
    assert [one.name for one in slowest(_profile(a=1, b=3, c=2), most=2)] == ["b", "c"]
