"""Laws of the plan: each device once, the same every time, waves that add up; and specs that are refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.ids import DeviceId, GroupName, ReleaseId, RolloutId
from fleet_server.rollouts.errors import SpecRefused
from fleet_server.rollouts.plan import check_spec, parse_waves, plan_waves
from fleet_server.rollouts.spec import GateSpec, RolloutSpec

ROLLOUT = RolloutId("r-1")
SPEC = RolloutSpec(release=ReleaseId("digits@1.0"), group=GroupName("lab"))

devices = st.lists(st.integers(0, 5000).map(lambda number: DeviceId(f"pi-{number}")), unique=True, max_size=60)
shares = st.lists(st.integers(1, 99), unique=True, max_size=4).map(lambda each: [f"{one}%" for one in sorted(each)])
counts = st.lists(st.integers(1, 80), unique=True, max_size=3).map(lambda each: [str(one) for one in sorted(each)])
specs = st.tuples(counts, shares).map(lambda both: (*both[0], *both[1], "100%"))


@given(specs, devices)
def test_each_device_is_in_exactly_one_wave(spec: tuple[str, ...], group: list[DeviceId]) -> None:
    waves = plan_waves(ROLLOUT, spec, group)

    assert sorted(device for wave in waves for device in wave) == sorted(group)
    assert all(waves)


@settings(max_examples=40)
@given(specs, devices.flatmap(lambda group: st.tuples(st.just(group), st.permutations(group))))
def test_the_order_in_which_devices_are_listed_does_not_matter(
    spec: tuple[str, ...], both: tuple[list[DeviceId], list[DeviceId]]
) -> None:
    group, shuffled = both

    assert plan_waves(ROLLOUT, spec, shuffled) == plan_waves(ROLLOUT, spec, group)


@given(specs, devices)
def test_waves_end_where_the_spec_says(spec: tuple[str, ...], group: list[DeviceId]) -> None:
    ends = {end.of(len(group)) for end in parse_waves(spec)}
    sizes = accumulate(len(wave) for wave in plan_waves(ROLLOUT, spec, group))

    assert set(sizes) <= ends


@given(devices, st.integers(6000, 7000))
def test_a_device_that_joins_does_not_reorder_the_others(group: list[DeviceId], newcomer: int) -> None:
    one_each = (*(str(number + 1) for number in range(49)), "100%")
    before = [device for wave in plan_waves(ROLLOUT, one_each, group) for device in wave]
    after = [device for wave in plan_waves(ROLLOUT, one_each, [*group, DeviceId(f"pi-{newcomer}")]) for device in wave]

    assert [device for device in after if device in before] == before


def test_another_rollout_begins_with_another_device() -> None:
    group = [DeviceId(f"pi-{number}") for number in range(40)]

    canaries = {plan_waves(RolloutId(f"r-{number}"), ("1", "100%"), group)[0] for number in range(20)}

    assert len(canaries) > 10


def test_a_share_is_rounded_up_and_a_wave_of_nobody_is_left_out() -> None:
    group = [DeviceId(f"pi-{number}") for number in range(3)]

    waves = plan_waves(ROLLOUT, ("1", "25%", "50.5%", "100%"), group)

    assert [len(wave) for wave in waves] == [1, 1, 1]


@pytest.mark.parametrize(
    ("waves", "words"),
    [
        ((), "1 to 50 waves"),
        (("100%",) * 51, "1 to 50 waves"),
        (("1",), "last wave is '1'"),
        (("1", "50%"), "must be '100%'"),
        (("0", "100%"), "wave '0'"),
        (("0%", "100%"), "wave '0%'"),
        (("101%",), "wave '101%'"),
        (("-1", "100%"), "wave '-1'"),
        (("all",), "wave 'all'"),
        (("1", "1", "100%"), "do not rise"),
        (("50%", "25%", "100%"), "do not rise"),
        (("1e3", "100%"), "wave '1e3'"),
    ],
)
def test_a_bad_spec_is_refused_with_what_is_wrong(waves: tuple[str, ...], words: str) -> None:
    with pytest.raises(SpecRefused, match=words):
        parse_waves(waves)


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        (GateSpec(max_failed_ratio=1.5), "max_failed_ratio is 1.5"),
        (GateSpec(soak_s=-1.0), "soak_s is -1"),
        (GateSpec(soak_s=float("nan")), "soak_s is nan"),
        (GateSpec(min_devices=0), "min_devices is 0"),
        (GateSpec(max_latency_ratio=0.5), "max_latency_ratio is 0.5"),
        (GateSpec(min_rows=-1), "min_rows is -1"),
    ],
)
def test_a_gate_with_a_figure_out_of_range_is_refused(gate: GateSpec, words: str) -> None:
    with pytest.raises(SpecRefused, match=words):
        check_spec(replace(SPEC, gate=gate))


def test_the_default_spec_is_accepted() -> None:
    check_spec(SPEC)
