"""Judging: who holds the budgets, who wins, and the reason each other lost."""

from __future__ import annotations

import dataclasses

import pytest

from contracts.ids import digest_of
from contracts.manifest import ModelFormat
from contracts.tensors import ElementType
from device_profiles.profile import DeviceClass, DeviceProfile
from optimizer.benchmark.timing import Timing
from optimizer.metrics.fidelity import Fidelity
from optimizer.metrics.interval import Interval
from optimizer.model import Format, Model
from optimizer.search.budget import Objective, OptimizeBudget
from optimizer.search.candidate import Candidate, Measured, Product, Verdict
from optimizer.search.fitness import memory_limit
from optimizer.search.frontier import Judge
from tests.optimizer.builders import a_profile, an_onnx_mlp

_BUDGET = OptimizeBudget(max_drop=0.01)


def _measured(
    label: str,
    *,
    size: int = 1000,
    p50: float = 1.0,
    drop: float = 0.0,
    memory: int = 1_000_000,
    kind: Format = Format.ONNX,
    half_width: float = 0.001,
) -> Measured:
    model = an_onnx_mlp()
    content = b"m" * size
    spec = dataclasses.replace(model.spec, format=kind)
    return Measured(
        product=Product(
            label=label,
            source=model.digest,
            inputs=model.inputs,
            outputs=model.outputs,
            model=Model(spec=spec, content=content, digest=digest_of(content)),
            lineage=(),
            tools={},
        ),
        preprocessing=(),
        fidelity=Fidelity(
            metric="accuracy",
            n=500,
            value=0.9 - drop,
            original=0.9,
            drop=Interval(value=drop, low=drop - half_width, high=drop + half_width),
            unit="points",
            others={"agreement": 1.0, "worst_error": 0.1},
        ),
        latency=Timing(samples_ms=(p50,) * 5, warmup=1, threads=1, machine="m"),
        beside=Timing(samples_ms=(1.0,) * 5, warmup=1, threads=1, machine="m"),
        memory_bytes=memory,
    )


def _judgement(
    target: DeviceProfile, budget: OptimizeBudget, objective: Objective = Objective.SIZE, *, on_target: bool = False
) -> Judge:
    return Judge(target=target, budget=budget, objective=objective, on_target=on_target)


def _judge(
    *measured: Measured,
    budget: OptimizeBudget = _BUDGET,
    objective: Objective = Objective.SIZE,
    on_target: bool = False,
) -> dict[str, Candidate]:
    judge = _judgement(a_profile(), budget, objective, on_target=on_target)
    return {one.label: one for one in judge.judge(measured)}


def test_the_smallest_that_holds_the_budgets_wins_by_size() -> None:
    judged = _judge(_measured("float", size=4000, p50=0.5), _measured("int8", size=1000))

    assert judged["int8"].verdict is Verdict.WINNER
    assert judged["int8"].reason == "the smallest that holds the budgets"
    assert judged["float"].verdict is Verdict.FRONT
    assert judged["float"].reason == "holds the budgets, but is larger than int8 (4.0 KB to 1.0 KB)"


def test_staying_with_float_wins_by_latency_where_int8_is_slower() -> None:
    judged = _judge(
        _measured("float", size=4000, p50=0.5), _measured("int8", size=1000, p50=0.8), objective=Objective.LATENCY
    )

    assert judged["float"].verdict is Verdict.WINNER
    assert judged["int8"].reason == (
        "holds the budgets, but is slower on this machine than float (0.80x to 0.50x the original's latency); "
        "test-board may rank them otherwise"
    )


def test_a_latency_advantage_within_the_noise_decides_nothing() -> None:
    judged = _judge(
        _measured("large", size=4000, p50=0.95), _measured("small", size=1000, p50=1.0), objective=Objective.LATENCY
    )

    assert judged["small"].verdict is Verdict.WINNER


def test_files_that_tie_in_size_follow_the_order_of_preference_unless_one_is_much_slower() -> None:
    close = _judge(_measured("first", size=1000, p50=1.3), _measured("second", size=1005, p50=1.0))
    far = _judge(_measured("first", size=1000, p50=2.3), _measured("second", size=1005, p50=1.0))

    assert close["first"].verdict is Verdict.WINNER
    assert close["first"].reason == (
        "within 2 % of the smallest, and first in the order of preference (first before second)"
    )
    assert close["second"].reason == ("within 2 % of first in size, and first comes first in the order of preference")
    assert far["second"].verdict is Verdict.WINNER
    assert far["second"].reason == "the fastest on this machine of the 2 within 2 % of the smallest"


def test_of_files_that_tie_in_size_and_speed_the_one_that_loses_least_wins() -> None:
    judge = _judgement(a_profile(), OptimizeBudget(max_drop=0.02))

    judged = judge.judge((_measured("mse", drop=0.008), _measured("percentile", drop=0.003)))

    assert judged[1].verdict is Verdict.WINNER
    assert judged[1].reason.endswith("and of the 2 that tie in both it loses the least")


def test_one_that_is_worse_in_everything_is_told_what_beats_it() -> None:
    judged = _judge(_measured("bad", size=2000, p50=2.0, drop=0.004), _measured("good"))

    assert judged["bad"].verdict is Verdict.DOMINATED
    assert judged["bad"].reason == (
        "no better in accuracy, size or latency than good: +0.40 points of drop, 2.00x the size, "
        "2.00x the latency on this machine; memory is not compared"
    )


def test_one_that_only_another_machine_ranks_last_stays_on_the_front() -> None:
    judged = _judge(_measured("u8s8"), _measured("s8s8", size=1010, p50=4.0, drop=0.0005))

    assert judged["s8s8"].verdict is Verdict.FRONT
    assert judged["s8s8"].reason.endswith("test-board may rank them otherwise")


def test_on_the_target_itself_its_latency_decides() -> None:
    judged = _judge(_measured("u8s8"), _measured("s8s8", size=1010, p50=4.0, drop=0.0005), on_target=True)

    assert judged["s8s8"].verdict is Verdict.DOMINATED
    assert judged["s8s8"].reason == (
        "no better in accuracy, size or latency than u8s8: +0.05 points of drop, size within 2 %, 4.00x the latency; "
        "memory is not compared"
    )


def test_a_latency_budget_is_decided_on_the_target() -> None:
    judged = _judge(
        _measured("slow", p50=5.0), _measured("fast"), budget=OptimizeBudget(max_latency_ms=2.0), on_target=True
    )

    assert (judged["slow"].verdict, judged["slow"].reason) == (
        Verdict.OVER_BUDGET,
        "its p95 is 5.00 ms, over 2.00 ms",
    )


def test_a_small_advantage_measured_in_one_run_on_the_target_decides() -> None:
    judged = _judge(_measured("a", p50=0.97), _measured("b", p50=0.90), objective=Objective.LATENCY, on_target=True)

    assert judged["b"].verdict is Verdict.WINNER


def test_what_is_slower_than_the_original_never_wins_a_tie_of_latency() -> None:
    judged = _judge(
        _measured("float", size=4000, p50=1.0),
        _measured("int8", size=1000, p50=1.004),
        objective=Objective.LATENCY,
        on_target=True,
    )

    assert judged["float"].verdict is Verdict.WINNER


def test_a_winner_slower_than_the_original_is_said() -> None:
    measured = (_measured("float", size=4000, p50=1.0), _measured("int8", size=1000, p50=1.5))
    judge = _judgement(a_profile(), _BUDGET, on_target=True)

    notes = judge.undecided(judge.judge(measured))

    assert notes == ("int8 is slower than the original (1.50x): size decides.",)


def test_finalists_are_those_near_the_best() -> None:
    measured = tuple(_measured(f"{p50}", p50=p50) for p50 in (0.5, 0.55, 0.7, 0.52))
    judge = _judgement(a_profile(), _BUDGET, Objective.LATENCY, on_target=True)

    found = judge.finalists(measured)

    assert [one.product.label for one in found] == ["0.5", "0.52", "0.55"]


def test_what_may_not_ship_is_no_finalist() -> None:
    judge = _judgement(a_profile(), _BUDGET, Objective.LATENCY, on_target=True)

    assert judge.finalists((_measured("a", drop=0.5),)) == ()


@pytest.mark.parametrize(
    ("given", "budget", "reason"),
    [
        (
            _measured("x", drop=0.02),
            OptimizeBudget(max_drop=0.01),
            "accuracy falls by 2.00 points (95 %: +1.90 to +2.10), over 1",
        ),
        (_measured("x", size=3000), OptimizeBudget(max_size_bytes=2000), "its size is 3.0 KB, over 2.0 KB"),
        (
            _measured("x", memory=9_000_000),
            OptimizeBudget(max_memory_bytes=8_000_000),
            "it takes 9.00 MB of memory, over 8.00 MB",
        ),
    ],
)
def test_each_budget_that_is_missed_is_said_with_both_figures(
    given: Measured, budget: OptimizeBudget, reason: str
) -> None:
    (judged,) = _judgement(a_profile(), budget).judge((given,))

    assert (judged.verdict, judged.reason) == (Verdict.OVER_BUDGET, reason)


def test_every_missed_budget_is_said() -> None:
    budget = OptimizeBudget(max_drop=0.01, max_size_bytes=10)

    (judged,) = _judgement(a_profile(), budget).judge((_measured("x", drop=0.02),))

    assert judged.reason.count(", over ") == 2


def test_a_latency_budget_excludes_nothing_and_is_said_to_be_undecided() -> None:
    budget = OptimizeBudget(max_latency_ms=0.001)

    candidates = _judgement(a_profile(), budget).judge((_measured("x", p50=5.0),))

    assert candidates[0].verdict is Verdict.WINNER
    assert _judgement(a_profile(), budget).undecided(candidates)[0] == (
        "The latency of test-board is not known yet: every latency here was taken on this machine, "
        "so the budget of 1 us is not decided."
    )


def test_a_winner_whose_drop_n_cannot_resolve_is_said() -> None:
    candidates = _judgement(a_profile(), _BUDGET).judge((_measured("x", drop=0.008, half_width=0.01),))

    notes = _judgement(a_profile(), _BUDGET).undecided(candidates)

    assert notes[1].startswith("x: n = 500 cannot resolve a drop of 1 point")


def test_a_float_model_is_unfit_where_only_full_int8_runs() -> None:
    target = a_profile(formats=(ModelFormat.TFLITE,), full_int8=True)

    (judged,) = _judgement(target, _BUDGET).judge((_measured("x", kind=Format.TFLITE),))

    assert judged.verdict is Verdict.UNFIT
    assert "runs only fully quantized int8 models" in judged.reason


def test_a_full_int8_model_is_fit_where_only_full_int8_runs() -> None:
    target = a_profile(formats=(ModelFormat.TFLITE,), full_int8=True)
    one = _measured("x", kind=Format.TFLITE)
    model = one.product.model
    integer = tuple(dataclasses.replace(spec, element=ElementType.INT8) for spec in model.inputs)
    spec = dataclasses.replace(model.spec, inputs=integer, outputs=integer, quantized=True)
    product = dataclasses.replace(one.product, model=dataclasses.replace(model, spec=spec))

    (judged,) = _judgement(target, _BUDGET).judge((dataclasses.replace(one, product=product),))

    assert judged.verdict is Verdict.WINNER


def test_a_format_that_the_target_does_not_read_is_unfit() -> None:
    (judged,) = _judgement(a_profile(), _BUDGET).judge((_measured("x", kind=Format.TFLITE),))

    assert (judged.verdict, judged.reason) == (Verdict.UNFIT, "test-board reads onnx, not tflite")


def test_a_microcontrollers_memory_is_its_runtimes_arena() -> None:
    target = dataclasses.replace(a_profile(), device_class=DeviceClass.MICROCONTROLLER, model_memory_bytes=1000)

    assert memory_limit(target, OptimizeBudget()) == 1000
    assert memory_limit(target, OptimizeBudget(max_memory_bytes=10)) == 10
    assert "arena that TensorFlow Lite Micro needs" in _judgement(target, _BUDGET).undecided(())[1]


def test_a_file_larger_than_a_microcontrollers_storage_is_over_budget() -> None:
    target = dataclasses.replace(a_profile(), device_class=DeviceClass.MICROCONTROLLER, storage_bytes=500)

    (judged,) = _judgement(target, _BUDGET).judge((_measured("x", size=1000),))

    assert judged.verdict is Verdict.OVER_BUDGET
    assert "test-board's storage" in judged.reason


def test_an_operator_that_a_microcontrollers_runtime_lacks_makes_a_candidate_unfit() -> None:
    formats = (ModelFormat.TFLITE,)
    target = dataclasses.replace(a_profile(), device_class=DeviceClass.MICROCONTROLLER, formats=formats)
    one = _measured("x", kind=Format.TFLITE)
    spec = dataclasses.replace(one.product.model.spec, operators=frozenset({"CONV_2D", "GELU"}))
    product = dataclasses.replace(one.product, model=dataclasses.replace(one.product.model, spec=spec))

    (judged,) = _judgement(target, _BUDGET).judge((dataclasses.replace(one, product=product),))

    assert judged.verdict is Verdict.UNFIT
    assert judged.reason == "TensorFlow Lite Micro, which test-board runs, has no GELU"


def test_the_profile_bounds_memory_where_no_budget_does() -> None:
    target = dataclasses.replace(a_profile(), model_memory_bytes=500_000)

    (judged,) = _judgement(target, _BUDGET).judge((_measured("x"),))

    assert judged.verdict is Verdict.OVER_BUDGET


def test_with_no_candidate_that_holds_there_is_no_winner() -> None:
    judged = _judge(_measured("a", drop=0.5), _measured("b", drop=0.4))

    assert {one.verdict for one in judged.values()} == {Verdict.OVER_BUDGET}


def test_one_is_dominated_only_by_what_is_not_dominated_itself() -> None:
    judged = _judge(
        _measured("winner", size=1000, p50=1.2),
        _measured("middle", size=1030, p50=1.05),
        _measured("quick", size=1060, p50=0.95),
    )

    assert judged["middle"].verdict is Verdict.DOMINATED
    assert judged["quick"].verdict is Verdict.FRONT


def test_a_winner_that_is_slower_on_this_machine_is_said_too() -> None:
    judge = _judgement(a_profile(), _BUDGET)

    notes = judge.undecided(judge.judge((_measured("int8", p50=1.5),)))

    assert "int8 is slower than the original on this machine (1.50x): size decides." in notes
