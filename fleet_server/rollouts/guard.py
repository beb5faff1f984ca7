"""May the next wave open? Values in, one decision out: advance, hold or halt, with the reason in words.

The order of the questions is the rule:

1. Too many failures? A wave fails as soon as failures are more than ``max_failed_ratio`` of its *finished*
   devices (once ``min_devices`` of them have finished), or can no longer come below it.
   Refused, failed, rolled back and timed out all count.
2. Is somebody still at work? Hold.
3. Has the last healthy device soaked for ``soak_s``? Else hold.
4. Is there evidence: ``min_rows`` inferred rows on each side? Else hold, for ``patience_s`` at most; then
   halt: a missing figure is not a pass. (``min_rows`` 0: no traffic is expected, advance.)
5. Do class mix, confidence or latency depart from the control's beyond limit and chance
   (``comparison.py``)? Then halt, else advance.

The evidence is judged once, at the first moment at which there is enough of it, so a rollout that
waits long does not get more chances to fail by chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from contracts.ids import ProfileName
from contracts.sketch import OutputReference
from contracts.update import UpdateState
from fleet_server.rollouts.comparison import Distance, distance, slowdown
from fleet_server.rollouts.spec import GateSpec

_NOTHING = OutputReference(class_counts=(), confidence_counts=())


class Verdict(StrEnum):
    """What to do with the wave."""

    ADVANCE = "advance"
    HOLD = "hold"
    HALT = "halt"


class Against(StrEnum):
    """What a wave's sketches are held against."""

    CONTROL = "control"
    """Devices of the group that still run the previous release, in the same period."""
    REFERENCE = "reference"
    """The artifact's own answers on its calibration data: no such device is left, or there never was one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A verdict and, in words, why."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a wave stands: its devices by state, and seconds since the last one became healthy."""

    counts: Mapping[UpdateState, int]
    soaked_s: float = 0.0

    @property
    def size(self) -> int:
        """How many devices take part; those withdrawn before they began do not."""
        return sum(count for state, count in self.counts.items() if state is not UpdateState.CANCELLED)

    @property
    def finished(self) -> int:
        """How many have reached an end."""
        return sum(
            count for state, count in self.counts.items() if state.is_final and state is not UpdateState.CANCELLED
        )

    @property
    def failed(self) -> int:
        """How many of the finished count against the rollout."""
        return sum(count for state, count in self.counts.items() if state.is_failure)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyPair:
    """Latency histograms (LATENCY_EDGES_MS) of the devices of one profile, wave and control."""

    profile: ProfileName
    wave: tuple[int, ...]
    control: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What was seen since the wave's devices became healthy; rows are inferred rows."""

    against: Against
    wave_rows: int = 0
    control_rows: int = 0
    wave: OutputReference = _NOTHING
    control: OutputReference = _NOTHING
    latencies: tuple[LatencyPair, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    words: str
    is_fault: bool


def decide(gate: GateSpec, standing: Standing, evidence: Evidence) -> Decision:
    """Return what to do with the wave now."""
    failures = _judge_failures(gate, standing)
    if failures is not None:
        return failures
    if standing.finished < standing.size:
        return _hold(f"{standing.finished} of {standing.size} devices have finished")
    if standing.failed == standing.size:
        return _halt("no device of the wave is healthy")
    if standing.soaked_s < gate.soak_s:
        return _hold(f"soaking, {gate.soak_s - standing.soaked_s:.0f} s to go")
    if gate.min_rows == 0:
        return _advance(f"{_healthy(standing)}; nothing was to be compared (min_rows is 0)")
    return _judge_amount(gate, standing, evidence) or _judge_answers(gate, standing, evidence)


def _judge_failures(gate: GateSpec, standing: Standing) -> Decision | None:
    enough = standing.finished >= min(gate.min_devices, standing.size)
    too_many_now = enough and standing.failed > gate.max_failed_ratio * standing.finished
    too_many_for_ever = standing.failed > gate.max_failed_ratio * standing.size
    if not (too_many_now or too_many_for_ever):
        return None
    failures = [(state, count) for state, count in standing.counts.items() if state.is_failure and count]
    words = ", ".join(f"{count} {state.value.replace('_', ' ')}" for state, count in failures)
    return _halt(
        f"{standing.failed} of {standing.finished} finished devices failed ({words}); "
        f"at most {gate.max_failed_ratio:.0%} may"
    )


def _judge_amount(gate: GateSpec, standing: Standing, evidence: Evidence) -> Decision | None:
    sides = [("the wave", evidence.wave_rows)]
    if evidence.against is Against.CONTROL:
        sides.append(("the control devices", evidence.control_rows))
    short = [f"{rows} rows of {gate.min_rows} from {side}" for side, rows in sides if rows < gate.min_rows]
    if not short:
        return None
    missing = " and ".join(short)
    waited_s = standing.soaked_s - gate.soak_s
    if waited_s < gate.patience_s:
        return _hold(f"soaked; waiting for evidence: {missing}")
    return _halt(f"not enough evidence: {missing} within {gate.patience_s:g} s after the soak")


def _judge_answers(gate: GateSpec, standing: Standing, evidence: Evidence) -> Decision:
    findings = (*_compare_answers(gate, evidence), *_compare_latencies(gate, evidence))
    faults = [finding.words for finding in findings if finding.is_fault]
    other = "the control devices" if evidence.against is Against.CONTROL else "the artifact's own reference"
    rows = f"{evidence.wave_rows} rows against {evidence.control_rows} of {other}"
    if faults:
        return _halt(f"{'; '.join(faults)} ({rows})")
    compared = "; ".join(finding.words for finding in findings)
    return _advance(f"{_healthy(standing)}; {compared or 'no answers that can be compared'} ({rows})")


def _compare_answers(gate: GateSpec, evidence: Evidence) -> Iterator[_Finding]:
    wave, control = evidence.wave, evidence.control
    if sum(wave.class_counts) and sum(control.class_counts):
        apart = distance(wave.class_counts, control.class_counts, limit=gate.max_class_distance)
        yield _Finding(words=_apart_words("class mix", apart, gate.max_class_distance), is_fault=apart.is_too_far)
    if sum(wave.confidence_counts) and sum(control.confidence_counts):
        apart = distance(wave.confidence_counts, control.confidence_counts, limit=gate.max_confidence_shift)
        yield _Finding(words=_apart_words("confidence", apart, gate.max_confidence_shift), is_fault=apart.is_too_far)


def _compare_latencies(gate: GateSpec, evidence: Evidence) -> Iterator[_Finding]:
    for pair in evidence.latencies:
        if sum(pair.wave) and sum(pair.control):
            slow = slowdown(pair.wave, pair.control)
            yield _Finding(
                words=f"p95 latency on {pair.profile}: {slow.wave_p95_ms:.2g} ms against {slow.control_p95_ms:.2g} ms, "
                f"at least {slow.least_ratio:.2g} times, limit {gate.max_latency_ratio:g}",
                is_fault=slow.least_ratio > gate.max_latency_ratio,
            )


def _apart_words(name: str, apart: Distance, limit: float) -> str:
    return f"{name} is {apart.value:.2f} apart, limit {limit:g} ({apart.bound:.2f} at this many rows)"


def _healthy(standing: Standing) -> str:
    healthy = standing.counts.get(UpdateState.HEALTHY, 0)
    return f"{healthy} of {standing.size} devices healthy"


def _advance(reason: str) -> Decision:
    return Decision(verdict=Verdict.ADVANCE, reason=reason)


def _hold(reason: str) -> Decision:
    return Decision(verdict=Verdict.HOLD, reason=reason)


def _halt(reason: str) -> Decision:
    return Decision(verdict=Verdict.HALT, reason=reason)
