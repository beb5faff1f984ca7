"""What a terminal shows: words beside every sign, nothing cut that matters, plain text for files."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import DeviceId
from contracts.update import UpdateState
from fleet_server.console.query import FilterRefused
from fleet_server.rollouts.spec import GateSpec
from fleet_server.rollouts.states import RolloutState
from fleet_server.terminal.device_filter import matching_devices
from fleet_server.terminal.histogram import blocks, device_drift, drift_page
from fleet_server.terminal.page import Cell, Part, cell, line
from fleet_server.terminal.rollout_page import bar, evidence_words, gate_words, rollout_page, spec_page
from fleet_server.terminal.screen import Screen
from fleet_server.terminal.tables import (
    alert_table,
    device_page,
    device_table,
    drift_table,
    group_table,
    overview_page,
    release_table,
    retrain_page,
    transfer_table,
)
from tests.fleet_server.views import (
    NEW,
    NOW,
    a_device,
    a_plan,
    a_retrain_request,
    a_rollout,
    a_sketch,
    a_transfer,
    an_alert,
    an_overview,
    some_devices,
    some_releases,
)

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def plain(*parts: Part) -> str:
    """Return what a file gets."""
    out = io.StringIO()
    Screen(out=out, is_terminal=False).show(*parts)
    return out.getvalue()


def on_terminal(*parts: Part, width: int) -> str:
    """Return what a terminal of that width shows, without its colours."""
    out = io.StringIO()
    Screen(out=out, is_terminal=True, width=width).show(*parts)
    return ESCAPES.sub("", out.getvalue())


def test_plain_text_is_aligned_and_has_no_escape_codes() -> None:
    shown = plain(device_table(some_devices(), NOW))

    assert "\x1b" not in shown
    assert shown.splitlines()[0].split() == ["device", "state", "group", "profile", "running", "update", "alerts"]
    assert "pi-workshop-entrance-03  ● online 8 s ago   lyon   raspberry-pi-4   digits@1.0.0  ⊘ refused" in shown


def test_a_narrow_terminal_drops_columns_rather_than_versions() -> None:
    shown = on_terminal(device_table(some_devices(), NOW), width=80)

    assert "pi-workshop-entrance-03" in shown
    assert "digits@1.1.0" in shown
    assert "profile" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_a_wide_terminal_shows_all_columns() -> None:
    assert "coral-dev-board" in on_terminal(device_table(some_devices(), NOW), width=120)


@pytest.mark.parametrize("width", [80, 120])
def test_no_page_is_wider_than_the_terminal(width: int) -> None:
    drift = device_drift(DeviceId("pi-02"), a_plan(), (a_sketch(a_plan()),))
    assert drift is not None
    pages: tuple[Part, ...] = (
        *overview_page(an_overview(), NOW),
        *device_page(some_devices()[2], NOW),
        *rollout_page(a_rollout(), NOW),
        *spec_page(a_rollout()),
        *retrain_page(a_retrain_request()),
        *drift_page(drift),
        release_table(some_releases(), NOW),
        alert_table((an_alert(),), NOW, empty=""),
        drift_table((an_alert(),), NOW),
        transfer_table((a_transfer(),), NOW),
    )

    shown = on_terminal(*pages, width=width)

    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown


def test_no_color_leaves_signs_and_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()

    Screen(out=out, is_terminal=True, width=80).show(*rollout_page(a_rollout(), NOW))

    assert not re.search(r"\x1b\[(3|9)[0-9]m", out.getvalue())
    assert "✓ 3 healthy  ↓ 4 downloading" in out.getvalue()


def test_a_device_cannot_write_escape_codes_through_its_report() -> None:
    shown = plain(*device_page(a_device(update_code="x", update_detail="\x1b[2Jgone\nnew line"), NOW))

    assert "\x1b" not in shown
    assert "�[2Jgone�new line" in shown


def test_an_empty_list_names_the_next_command() -> None:
    assert plain(group_table(())) == "No group yet. Make one: edgeship fleet group create NAME\n"


def test_a_chunk_asked_for_again_stands_out() -> None:
    table = transfer_table((a_transfer(),), NOW)

    assert table.rows[0][4] == cell(0, "healthy")


def test_a_rollout_shows_waves_counts_failures_and_who_is_left_out() -> None:
    shown = plain(*rollout_page(a_rollout(RolloutState.ROLLING_BACK, reason="wave 2 failed"), NOW))

    assert "r-7f3a2b  digits@1.1.0 → lyon  ↺ rolling back  started 4 min ago by ana" in shown
    assert "wave 2 failed" in shown
    assert "✓ 3 healthy  ↓ 4 downloading  ○ 3 queued  ↺ 1 rolled back  ⊘ 1 refused" in shown
    assert "⊘ refused      pi-22   digest: chunk 17 differs from the signed index" in shown
    assert "left out 1, no artifact for their profile: esp-01" in shown


def test_only_the_last_failures_are_shown_and_the_rest_is_counted() -> None:
    rollout = a_rollout()
    failed = tuple(replace(device, state=UpdateState.FAILED, code="disk_full") for device in rollout.devices)

    shown = plain(*rollout_page(replace(rollout, devices=failed), NOW))

    assert shown.count("✕ failed") == 5
    assert f"and {len(failed) - 5} more" in shown


def test_the_gate_is_told_in_words() -> None:
    gate = GateSpec(max_failed_ratio=0.05, min_devices=20, soak_s=60, min_rows=0)

    assert gate_words(gate) == "at most 5 % failed, at least 20 finished, soak 60 s"
    assert evidence_words(gate) == "answers are not compared"


@given(
    counts=st.dictionaries(st.sampled_from(list(UpdateState)), st.integers(1, 100_000), min_size=1),
    columns=st.integers(12, 120),
)
def test_a_bar_is_full_and_shows_every_state(counts: dict[UpdateState, int], columns: int) -> None:
    cells = bar(counts, columns)

    assert sum(len(one.text) for one in cells) == columns
    assert len(cells) == len(counts)
    assert all(one.text for one in cells)


def test_a_bar_without_devices_is_dots() -> None:
    assert bar({}, 5) == (Cell(text="·····", tone="quiet"),)


@given(counts=st.lists(st.integers(0, 10_000), min_size=1, max_size=16))
def test_a_bin_with_rows_is_never_blank_and_one_without_always(counts: list[int]) -> None:
    highest = max(counts) / sum(counts) if sum(counts) else 1.0

    drawn = blocks(counts, highest)

    assert [letter == " " for letter in drawn] == [count == 0 for count in counts]


def test_the_input_that_moved_comes_first_with_both_histograms() -> None:
    drift = device_drift(DeviceId("pi-02"), a_plan(), (a_sketch(a_plan()),))
    assert drift is not None

    shown = plain(*drift_page(drift)).splitlines()

    assert [one.moved for one in drift.features] == [True, False]
    assert shown[0] == "pi-02  digits@1.0.0  ≈ 1 moved"
    assert shown[3].startswith("  ≈ moved   image.mean  PSI 2.7")
    assert shown[4].startswith("    then  ▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂▂  mean 0.4")
    assert shown[5].startswith("    now            ▁▁▂▄▆██  mean 0.71")
    assert shown[6].startswith("  ✓ steady  image.edges")


def test_windows_under_another_plan_or_release_are_not_mixed_in() -> None:
    plan = a_plan()
    other = a_sketch(plan, release=NEW)

    drift = device_drift(DeviceId("pi-02"), plan, (a_sketch(plan), other, a_sketch(plan)))

    assert drift is not None
    assert drift.window.rows == 600
    assert device_drift(DeviceId("pi-02"), plan, ()) is None


def test_the_filter_is_the_consoles() -> None:
    devices = some_devices()

    assert [one.id for one in matching_devices(devices, "status:online -entrance")] == ["pi-01", "pi-02"]
    assert matching_devices(devices, "") == devices


def test_the_filter_reads_past_the_first_page() -> None:
    devices = tuple(a_device(f"pi-{place:03}") for place in range(250))

    assert matching_devices(devices, "group:lyon") == devices


def test_a_filter_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(FilterRefused, match="site"):
        matching_devices(some_devices(), "site:lyon")


def test_a_value_that_a_closed_key_does_not_have_is_refused_with_those_it_has() -> None:
    with pytest.raises(FilterRefused, match="no status 'onlin'; one of enrolled, online, offline"):
        matching_devices(some_devices(), "status:onlin")


def test_a_line_leaves_out_empty_text() -> None:
    assert line("a", "", "b").text == "ab"
    assert cell("").text == "-"


def test_how_long_ago_depends_on_the_clock_that_is_given() -> None:
    shown = plain(*device_page(a_device(), NOW + timedelta(minutes=10)))

    assert "● online 10 min ago" in shown
