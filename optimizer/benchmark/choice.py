"""Which runner measures for a target, and whether its figures are the target's own."""

from __future__ import annotations

from contracts.manifest import TakenOn
from device_profiles.host import HOST
from device_profiles.profile import DeviceProfile
from optimizer.benchmark.command import CommandRunner
from optimizer.benchmark.runner import HostRunner, Runner
from optimizer.telling import Told, nobody


def choose_runner(target: DeviceProfile, *, command: str = "", seed: int = 0, told: Told = nobody) -> Runner:
    """Return the runner for models that are for the target.

    This machine is the target where that is ``host``. The machine behind a command is, where its processor is
    of the target's kind: that it is such a device, and no other with that processor, is the user's word.

    Args:
        target: the device that the models are for.
        command: of ``--runner``, as in ``ssh pi``; empty for this machine.
        seed: of the order in which models take turns.
        told: called with a sentence while another measurement is waited for.

    Raises:
        MeasureFailed: the command does not answer.
    """
    if not command:
        return HostRunner(taken_on=TakenOn.TARGET if target.name == HOST else TakenOn.HOST, seed=seed, told=told)
    runner = CommandRunner(command, seed=seed)
    if target.name == HOST or runner.architecture != target.architecture:
        return CommandRunner(command, taken_on=TakenOn.HOST, seed=seed)
    return runner
