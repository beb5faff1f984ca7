"""The story has the cast that it speaks of, and its end says what held."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest
from rich.console import Console

from device_profiles import load_profile
from edgeship.demo.errors import StepFailed
from edgeship.demo.narration import STEPS, Narrator
from edgeship.demo.optimizing import percent
from edgeship.demo.releasing import ReleaseDesk, release_of
from edgeship.demo.story import CORAL, DEVICES, PI, Story


def a_story(folder: Path) -> tuple[Story, io.StringIO]:
    """Return a story that was not told yet, and what it says."""
    said = io.StringIO()
    speaker = Narrator(console=Console(file=said, width=200, no_color=True))
    return Story(speaker=speaker, folder=folder, broker="auto", seed=7, keep=False), said


def test_six_devices_stand_in_two_groups_of_one_kind_each() -> None:
    assert len({device.id for device in DEVICES}) == 6
    assert sorted(Counter((device.group, device.profile) for device in DEVICES).values()) == [3, 3]


@pytest.mark.parametrize("profile", [PI, CORAL])
def test_the_devices_are_of_the_catalog(profile: str) -> None:
    assert load_profile(profile).name == profile


def test_a_step_is_headed_with_its_number_and_closed_with_its_time(tmp_path: Path) -> None:
    story, said = a_story(tmp_path)

    with story.speaker.step(STEPS, "what held"):
        story.speaker.say("all of it")

    lines = [line.strip() for line in said.getvalue().splitlines() if line.strip()]
    assert lines[0].startswith(f"{STEPS}/{STEPS}  what held")
    assert lines[1:] == ["all of it", "0.0 s"]


def test_a_step_in_which_a_claim_fails_is_not_closed(tmp_path: Path) -> None:
    story, said = a_story(tmp_path)

    with pytest.raises(StepFailed), story.speaker.step(2, "optimize"):
        story.speaker.claim(False, "a candidate holds every budget")

    assert said.getvalue().splitlines()[-1].strip() == "✕ a candidate holds every budget"


@pytest.mark.parametrize(("ratio", "text"), [(0.9812, "98.12"), (1.0, "100.00"), (None, "-")])
def test_a_ratio_is_told_in_percent(ratio: float | None, text: str) -> None:
    assert percent(ratio) == text


def test_every_run_of_the_desk_draws_a_passphrase_of_its_own(tmp_path: Path) -> None:
    first, again = ReleaseDesk.open(tmp_path / "a"), ReleaseDesk.open(tmp_path / "b")

    assert first.passphrase != again.passphrase
    assert len(first.passphrase) >= 32
    assert not list(tmp_path.rglob("*passphrase*"))


def test_a_version_is_one_of_the_demos_model() -> None:
    assert release_of("1.0.1") == "digits@1.0.1"
