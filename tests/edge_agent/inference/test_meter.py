"""What the meter says to the heartbeat and to Prometheus."""

from __future__ import annotations

from contracts.ids import ReleaseId
from edge_agent.inference.meter import Meter

DIGITS = ReleaseId("digits@1")


def a_meter() -> Meter:
    """Return a meter that has seen 100 answers of 1 to 100 ms, one failure and one refusal."""
    meter = Meter()
    for latency_ms in range(1, 101):
        meter.answered(DIGITS, float(latency_ms))
    meter.failed(DIGITS)
    meter.refused()
    return meter


def test_a_reading_counts_answers_and_failures_but_not_refusals() -> None:
    reading = a_meter().take()

    assert (reading.requests, reading.errors) == (101, 1)
    assert (reading.latency_p50_ms, round(reading.latency_p95_ms, 1)) == (50.5, 95.0)


def test_a_reading_begins_where_the_last_one_ended() -> None:
    meter = a_meter()
    meter.take()

    meter.answered(DIGITS, 7.0)

    assert (meter.take().requests, meter.take().requests) == (1, 0)


def test_nothing_answered_reads_as_zero() -> None:
    reading = Meter().take()

    assert (reading.requests, reading.latency_p50_ms, reading.latency_p95_ms) == (0, 0.0, 0.0)


def test_prometheus_sees_totals_that_a_reading_does_not_reset() -> None:
    meter = a_meter()
    meter.take()

    lines = meter.prometheus_text().splitlines()

    assert 'edgeship_inference_failed_total{release="digits@1"} 1' in lines
    assert "edgeship_inference_refused_total 1" in lines
    assert 'edgeship_inference_latency_seconds_count{release="digits@1"} 100' in lines
    assert 'edgeship_inference_latency_seconds_sum{release="digits@1"} 5.05' in lines


def test_buckets_count_what_is_at_most_their_bound() -> None:
    meter = Meter()
    meter.answered(DIGITS, 0.01)
    meter.answered(DIGITS, 0.0100001)

    lines = meter.prometheus_text().splitlines()

    assert 'edgeship_inference_latency_seconds_bucket{release="digits@1",le="1e-05"} 1' in lines
    assert 'edgeship_inference_latency_seconds_bucket{release="digits@1",le="1.41e-05"} 2' in lines
    assert 'edgeship_inference_latency_seconds_bucket{release="digits@1",le="+Inf"} 2' in lines
