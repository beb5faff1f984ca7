"""Words, progress, listing, overlays: what a page computes from the views."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.ids import ReleaseId
from contracts.sketch import FeatureSketch
from contracts.update import UpdateState
from fleet_server.console.listing import list_devices, list_parts
from fleet_server.console.overlays import judge_moved, multiples
from fleet_server.console.pages import versions_bar
from fleet_server.console.progress import BAR_WIDTH, causes, cells, progress, segments, stack, throughput, up_to
from fleet_server.console.query import FilterRefused, parse_filter
from fleet_server.console.reading import FeatureOverlay
from fleet_server.console.words import LETTERS, age, face, input_title, percent, plain_number, since, size, wave_face
from fleet_server.readmodel import AlertKind, AlertState, DeviceStatus, OverviewView
from fleet_server.rollouts.states import RolloutState, WaveState
from tests.fleet_server.console.fake_fleet import START
from tests.fleet_server.console.fixtures import a_device, a_part, a_rollout

COUNTS = st.dictionaries(st.sampled_from(UpdateState), st.integers(0, 100_000))


@pytest.mark.parametrize("kind", [UpdateState, DeviceStatus, RolloutState, WaveState, AlertState, AlertKind])
def test_every_state_has_a_sign_and_a_word(kind: type[UpdateState]) -> None:
    faces = [face(state) for state in kind]

    assert all(one.sign and one.word and one.tone for one in faces)


def test_every_update_state_has_a_letter_and_a_sign_of_its_own() -> None:
    assert set(LETTERS) == set(UpdateState)
    assert len(set(LETTERS.values())) == len(UpdateState)
    assert len({face(state).sign for state in UpdateState}) == len(UpdateState)


def test_states_of_one_word_keep_their_own_faces() -> None:
    assert face(WaveState.FAILED).tone == face(UpdateState.FAILED).tone == "failed"
    assert face(AlertState.OPEN).sign != face(WaveState.OPEN).sign


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (WaveState.PENDING, "never opened"),
        (WaveState.SOAKING, "stopped while soaking"),
        (WaveState.PASSED, "passed"),
        (WaveState.FAILED, "failed"),
    ],
)
def test_wave_of_an_ended_rollout_is_not_said_to_wait(state: WaveState, word: str) -> None:
    assert wave_face(state, ended=True).word == word
    assert wave_face(state, ended=False) == face(state)


@pytest.mark.parametrize("name", ["image.mean", "age", "image.region-5", "image.region-4-0"])
def test_input_that_is_no_cell_of_the_grid_is_not_explained(name: str) -> None:
    assert input_title(name) == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_199, "1 h"), (172_800, "2 d"), (-5, "0 s")]
)
def test_age_is_in_one_unit(seconds: int, words: str) -> None:
    assert age(timedelta(seconds=seconds)) == words


def test_moment_that_was_not_is_never_and_one_from_the_future_is_just_now() -> None:
    assert since(None, START) == "never"
    assert since(START + timedelta(seconds=5), START) == "just now"


@given(st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_percentage_never_rounds_to_none_or_all(ratio: float) -> None:
    assert percent(ratio) not in {"0 %", "100 %"}


@pytest.mark.parametrize(("count", "words"), [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (3 * 10**12, "3000 GB")])
def test_size_has_its_unit(count: int, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(("value", "words"), [(0.0, "0"), (4.876, "4.88"), (99.96, "100"), (-1234.5, "-1,234")])
def test_measured_value_has_three_figures(value: float, words: str) -> None:
    assert plain_number(value) == words


@given(COUNTS)
def test_bar_is_filled_without_gap_or_overlap(counts: dict[UpdateState, int]) -> None:
    made = segments(counts)

    ends = [part.start + part.width for part in made]
    assert sum(part.count for part in made) == sum(counts.values())
    assert all(abs(end - part.start) < 0.05 for end, part in zip(ends, made[1:], strict=False))
    assert not made or abs(ends[-1] - BAR_WIDTH) < 0.05


def test_one_failure_of_ten_thousand_is_seen_in_the_bar() -> None:
    failure = next(
        part for part in segments({UpdateState.HEALTHY: 9_999, UpdateState.FAILED: 1}) if part.tone == "failed"
    )

    assert failure.width > 3


def test_bar_of_nothing_is_empty() -> None:
    assert stack([]) == ()
    assert stack([("healthy", "healthy", 0)]) == ()


def test_progress_counts_finished_failed_and_the_speed_of_the_last_minute() -> None:
    lately, before = START - timedelta(seconds=10), START - timedelta(seconds=90)
    parts = (
        a_part("pi-1", UpdateState.HEALTHY, updated_at=before),
        a_part("pi-2", UpdateState.HEALTHY, updated_at=lately),
        a_part("pi-3", UpdateState.TIMED_OUT, updated_at=lately),
        a_part("pi-4", UpdateState.PROBATION, updated_at=lately),
        a_part("pi-5", UpdateState.QUEUED, wave=1),
    )

    found = progress(a_rollout(parts), START)

    assert (found.total, found.finished, found.healthy, found.failed) == (5, 3, 2, 1)
    assert found.done_ratio == pytest.approx(0.6)
    assert found.failed_ratio == pytest.approx(1 / 3)
    assert found.speed_per_s == pytest.approx(2 / 60)
    assert found.left == timedelta(seconds=30)


def test_time_left_is_not_guessed_while_nothing_finishes() -> None:
    found = progress(a_rollout((a_part("pi-1", UpdateState.DOWNLOADING),)), START)

    assert found.left is None
    assert found.failed_ratio == 0


def test_rollout_without_devices_has_no_progress_and_no_error() -> None:
    found = progress(a_rollout(()), START)

    assert (found.total, found.done_ratio, found.wave) == (0, 0, None)


def test_cells_follow_waves_then_names() -> None:
    parts = (a_part("b", UpdateState.FAILED, wave=1), a_part("z", UpdateState.HEALTHY), a_part("a", wave=1))

    assert cells(parts) == "hqf"


def test_causes_are_grouped_by_state_and_code_with_the_most_frequent_first() -> None:
    parts = (
        a_part("pi-1", UpdateState.FAILED, code="disk_full", detail="first"),
        a_part("pi-2", UpdateState.FAILED, code="fetch", detail="only"),
        a_part("pi-3", UpdateState.FAILED, code="disk_full", detail="second"),
        a_part("pi-4", UpdateState.REFUSED, code="fetch"),
        a_part("pi-5", UpdateState.CANCELLED, code="aborted"),
    )

    found = [(cause.state, cause.code, cause.detail, cause.devices) for cause in causes(parts)]

    assert found[0] == (UpdateState.FAILED, "disk_full", "first", ("pi-1", "pi-3"))
    assert {cause[:2] for cause in found[1:]} == {(UpdateState.FAILED, "fetch"), (UpdateState.REFUSED, "fetch")}


def test_throughput_counts_healthy_and_failed_devices_once_in_their_bucket_and_cancelled_ones_never() -> None:
    begin = START - timedelta(minutes=2)
    parts = tuple(
        a_part(f"pi-{second}", state, updated_at=begin + timedelta(seconds=second))
        for second, state in (
            (1, UpdateState.HEALTHY),
            (4, UpdateState.HEALTHY),
            (61, UpdateState.FAILED),
            (70, UpdateState.PROBATION),
            (80, UpdateState.CANCELLED),
        )
    )

    found = throughput(a_rollout(parts), START)

    assert (found.bucket_s, found.x_unit, len(found.x)) == (5, "s", 24)
    assert (found.healthy[0], sum(found.healthy)) == (2, 2)
    assert (found.failed[12], sum(found.failed)) == (1, 1)


@pytest.mark.parametrize(("hours", "unit"), [(0.01, "s"), (1, "min"), (10, "h"), (100, "d")])
def test_throughput_of_any_length_has_few_buckets_in_a_fitting_unit(hours: float, unit: str) -> None:
    rollout = a_rollout((), created_at=START - timedelta(hours=hours), finished_at=START)

    found = throughput(rollout, START + timedelta(days=9))

    assert len(found.x) <= 41
    assert found.x_unit == unit


def test_waves_are_named_by_the_share_that_they_reach() -> None:
    parts = tuple(a_part(f"pi-{place}", wave=int(place > 0) + int(place > 2)) for place in range(10))

    assert up_to(a_rollout(parts).waves) == (0.1, 0.3, 1.0)


def test_rarest_versions_are_counted_together() -> None:
    versions = {ReleaseId(f"digits@{place}"): 10 - place for place in range(9)}
    view = OverviewView(devices=0, online=0, failing=0, active_rollouts=(), open_alerts=(), versions=versions)

    made = versions_bar(view)

    assert [part.count for part in made] == [10, 9, 8, 7, 6, 5, 4 + 3 + 2]
    assert made[-1].word == "other releases"


def test_words_must_all_match_and_a_dash_means_not() -> None:
    devices = [a_device("pi-1"), a_device("pi-2", group="porto"), a_device("pi-3", group="porto", running={})]

    assert [one.id for one in list_devices(devices, q="PORTO running:1.3", page=1).rows] == ["pi-2"]
    assert [one.id for one in list_devices(devices, q="-group:porto", page=1).rows] == ["pi-1"]


def test_page_beyond_the_last_is_the_last() -> None:
    listing = list_devices([a_device(f"pi-{place}") for place in range(51)], q="", page=99)

    assert (listing.page, listing.first, listing.last, listing.pages) == (2, 51, 51, 2)


def test_filter_that_is_too_long_is_refused() -> None:
    with pytest.raises(FilterRefused, match="201 characters; use at most 200"):
        parse_filter("x" * 201, keys={"id"})


def test_failures_come_first_in_a_rollouts_devices() -> None:
    parts = (a_part("a", UpdateState.HEALTHY), a_part("b", UpdateState.QUEUED), a_part("c", UpdateState.FAILED))

    assert [part.device for part in list_parts(a_rollout(parts), q="", page=1).rows] == ["c", "b", "a"]


def test_feature_that_moved_most_is_drawn_first_and_judged() -> None:
    quiet, loud = _overlay("quiet", (50, 50), psi=0.01), _overlay("loud", (90, 10), psi=0.9)

    charts = multiples([quiet, loud])

    assert [(chart.name, chart.word) for chart in charts] == [("loud", "moved"), ("quiet", "steady")]
    assert charts[0].current == (0.9, 0.1)
    assert charts[0].bins == ("below 1.5", "1.5 and above")


def test_feature_without_rows_draws_nothing_instead_of_failing() -> None:
    assert multiples([_overlay("none", (0, 0), psi=0.0)])[0].current == (0.0, 0.0)


def _overlay(name: str, counts: tuple[int, ...], *, psi: float) -> FeatureOverlay:
    reference = FeatureSketch(counts=(50, 50), missing=0, mean=1.0, squares=1.0)
    current = FeatureSketch(counts=counts, missing=0, mean=1.0, squares=1.0)
    return FeatureOverlay(name=name, edges=(1.5,), reference=reference, current=current, psi=psi)


def test_input_that_an_alert_names_is_never_called_steady() -> None:
    words = [judge_moved(psi)[0] for psi in (0.0, 0.12, 0.6)]

    assert words == ["mean moved", "watch", "moved"]
