"""Whose figures they are."""

from __future__ import annotations

import dataclasses

import pytest

from contracts.manifest import TakenOn
from device_profiles.host import host_architecture
from device_profiles.loader import load_profile
from device_profiles.profile import DeviceProfile
from optimizer.benchmark.choice import choose_runner
from tests.optimizer.benchmark.test_command import FAR_SIDE, python
from tests.optimizer.builders import a_profile

HERE = dataclasses.replace(a_profile(), architecture=host_architecture())
ELSEWHERE = dataclasses.replace(a_profile(), architecture="riscv64")


@pytest.mark.parametrize(
    ("target", "taken_on"), [(load_profile("host"), TakenOn.TARGET), (HERE, TakenOn.HOST), (ELSEWHERE, TakenOn.HOST)]
)
def test_this_machine_is_the_target_where_the_target_is_host(target: DeviceProfile, taken_on: TakenOn) -> None:
    assert choose_runner(target).taken_on is taken_on


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "taken_on"), [(HERE, TakenOn.TARGET), (ELSEWHERE, TakenOn.HOST), (load_profile("host"), TakenOn.HOST)]
)
def test_the_machine_behind_a_command_is_where_its_processor_is_of_the_kind(
    target: DeviceProfile, taken_on: TakenOn
) -> None:
    assert choose_runner(target, command=python(FAR_SIDE)).taken_on is taken_on
