"""Measuring by a command: the laws through a real process, and everything that can go wrong on the way."""

from __future__ import annotations

import dataclasses
import shlex
import sys
from pathlib import Path

import pytest

from contracts.manifest import TakenOn
from device_profiles.host import host_architecture
from optimizer.benchmark.command import CommandRunner
from optimizer.benchmark.runner import Runner
from optimizer.errors import MeasureFailed
from tests.conformance.runner_laws import RunnerLaws
from tests.optimizer.benchmark.measurables import EFFORT, ROWS, a_measurable

FAR_SIDE = "import sys; from optimizer.benchmark.far_side import measure; measure([])"


def python(program: str) -> str:
    """Return a command that runs the program, with ``edgeship measure`` as its arguments."""
    return shlex.join([sys.executable, "-c", program])


def shell(script: str) -> str:
    """Return a command that runs the script, with ``edgeship measure`` as its arguments."""
    return shlex.join(["sh", "-c", script])


class TestCommandRunner(RunnerLaws):
    """The laws, through a process."""

    @pytest.fixture
    def runner(self) -> Runner:
        """Return a runner whose far side is this machine, in another process."""
        return CommandRunner(python(FAR_SIDE))


class TestCommandRunnerBehindABanner(RunnerLaws):
    """The laws, where a login says hello before the answer."""

    @pytest.fixture
    def runner(self) -> Runner:
        """Return a runner whose far side prints before and after."""
        return CommandRunner(shell(f"echo 'Welcome to pi!'; echo; {python(FAR_SIDE)}; echo 'bye' >&2"))


@pytest.mark.slow
def test_the_words_of_the_command_come_after_the_users() -> None:
    runner = CommandRunner(shell('echo "asked to $0 $@" >&2; exit 9'))

    with pytest.raises(MeasureFailed, match=r"ended with 9 \(asked to edgeship measure\); try sh -c .* by hand"):
        runner.memory(a_measurable(seed=1), threads=1)


def test_figures_of_a_command_are_the_targets_unless_somebody_says_otherwise() -> None:
    assert CommandRunner("ssh pi").taken_on is TakenOn.TARGET
    assert CommandRunner("ssh gateway", taken_on=TakenOn.HOST).taken_on is TakenOn.HOST


@pytest.mark.slow
def test_it_says_which_architecture_the_far_machine_has() -> None:
    assert CommandRunner(python(FAR_SIDE)).architecture == host_architecture()


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("", "is empty; write a command as in 'ssh pi'"),
        ("ssh 'pi", r"is no command \(No closing quotation\)"),
    ],
)
def test_what_is_no_command_is_refused_before_any_work(command: str, problem: str) -> None:
    with pytest.raises(MeasureFailed, match=problem):
        CommandRunner(command)


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'Welcome to pi!'", r"no answer in 'Welcome to pi!'; only edgeship measure may answer there"),
        ("true", "no answer in nothing at all"),
        (
            "echo 'Permission denied (publickey).' >&2; exit 255",
            r"ended with 255 \(Permission denied \(publickey\)\.\)",
        ),
        ("echo 'sh: edgeship: not found' >&2; exit 127", "edgeship is not installed there .*: pip install it there"),
        ("cat; echo", "not understood .*; install the same edgeship on both"),
        ("printf '\\nedgeship-measure/0002\\n12345678'", "it speaks version 0002 of measuring, this side 1: install"),
        (
            "printf '\\nedgeship-measure/0001\\n\\0\\0\\0\\0\\0\\0\\0\\100half'",
            "cut short: 4 of 64 bytes; the connection",
        ),
        ("printf '\\nedgeship-measure/0001\\n\\377\\0\\0\\0\\0\\0\\0\\0half'", "is over the limit of 67108864"),
        ("kill -9 $$", "ended with -9"),
    ],
)
def test_what_goes_wrong_on_the_way_is_one_line_with_the_next_action(script: str, problem: str) -> None:
    runner = CommandRunner(shell(script))

    with pytest.raises(MeasureFailed, match=problem) as caught:
        runner.memory(a_measurable(seed=1), threads=1)

    assert str(caught.value).startswith("--runner ")
    assert "\n" not in str(caught.value)


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(MeasureFailed, match=r"cannot be started .*; is no-such-program installed"):
        CommandRunner("no-such-program pi").memory(a_measurable(seed=1), threads=1)


@pytest.mark.slow
def test_a_far_side_that_never_answers_is_given_up() -> None:
    runner = CommandRunner(shell("echo 'connecting' >&2; exec sleep 60"), side_time_s=0.2)
    impatient = dataclasses.replace(EFFORT, seconds=0.1)

    with pytest.raises(MeasureFailed, match=r"no answer within 1 s \(connecting\); see whether the command works"):
        runner.time((a_measurable(seed=1),), ROWS, effort=impatient, threads=1)


@pytest.mark.slow
def test_a_runtime_that_is_missing_there_is_named_with_its_light_install() -> None:
    without = "import sys; sys.modules['onnxruntime'] = None; " + FAR_SIDE

    with pytest.raises(MeasureFailed, match=r"onnxruntime is not installed there: run pip install 'edgeship\[onnxrunt"):
        CommandRunner(python(without)).time((a_measurable(seed=1),), ROWS, effort=EFFORT, threads=1)


@pytest.mark.slow
def test_the_one_command_answers_behind_any_command_that_runs_its_words() -> None:
    programs = Path(sys.executable).parent

    runner = CommandRunner(f"env PATH={programs}:/usr/bin:/bin")

    assert runner.memory(a_measurable(seed=1), threads=1) > 0


ANSWER = """
import sys
from optimizer.benchmark.exchange import Answer, SentTiming, frame
answer = Answer(machine="m", architecture="a", runtimes="r", {figures})
sys.stdout.buffer.write(frame(answer))
"""


@pytest.mark.slow
@pytest.mark.parametrize("samples", ["()", "(1.0, float('nan'))", "(-1.0,)", "(0.0,)"])
def test_timings_that_no_clock_gives_are_refused(samples: str) -> None:
    figures = f"timings=(SentTiming(samples_ms={samples}, warmup=1),)"
    runner = CommandRunner(python(ANSWER.format(figures=figures)))

    with pytest.raises(MeasureFailed, match="each above 0 ms and finite: another one came back"):
        runner.time((a_measurable(seed=1),), ROWS, effort=EFFORT, threads=1)


@pytest.mark.slow
def test_memory_that_no_machine_has_is_refused() -> None:
    runner = CommandRunner(python(ANSWER.format(figures="memory_bytes=-5")))

    with pytest.raises(MeasureFailed, match="-5 bytes of memory came back for mlp 1"):
        runner.memory(a_measurable(seed=1), threads=1)
