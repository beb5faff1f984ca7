"""``edgeship profile`` as a device developer types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from device_profiles.cli import profile
from device_profiles.errors import UnknownProfile
from tests.device_profiles.test_loader import GOOD


def test_ls_has_one_line_for_each_device() -> None:
    listed = CliRunner().invoke(profile, ["ls"])

    assert listed.exit_code == 0
    assert listed.output.splitlines()[0] == "profile               processor    memory    formats"
    assert len(listed.output.splitlines()) == 11
    assert "coral-dev-board       4 x 1.50 GHz 1 GiB     tflite, int8 only" in listed.output


def test_show_tells_where_each_fact_comes_from() -> None:
    shown = CliRunner().invoke(profile, ["show", "stm32h743"])

    assert "1 x Cortex-M7, 480 MHz" in shown.output
    assert "DS12110" in shown.output


def test_show_speaks_json_for_programs() -> None:
    shown = json.loads(CliRunner().invoke(profile, ["show", "raspberry-pi-4", "--json"]).output)

    assert (shown["name"], shown["clock_hz"], shown["storage_bytes"]) == ("raspberry-pi-4", 1_500_000_000, None)


def test_show_of_an_unknown_name_fails() -> None:
    shown = CliRunner().invoke(profile, ["show", "raspberry"])

    assert isinstance(shown.exception, UnknownProfile)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("rpi4", "raspberry-pi-4"), ("pi4", "raspberry-pi-4"), ("rpi", "raspberry-pi-5"), ("orin", "jetson-orin-nano")],
)
def test_a_name_that_people_use_finds_the_profile_by_its_title(typed: str, meant: str) -> None:
    shown = CliRunner().invoke(profile, ["show", typed])

    assert isinstance(shown.exception, UnknownProfile)
    assert meant in shown.exception.nearest


def test_check_accepts_a_good_file_and_fails_on_a_bad_one(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text(GOOD)
    (tmp_path / "bad.toml").write_text(GOOD.replace("cores", "core"))

    good = CliRunner().invoke(profile, ["check", str(tmp_path / "good.toml")])
    bad = CliRunner().invoke(profile, ["check", str(tmp_path / "bad.toml")])

    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert good.output == "✓ test-board: Test board\n"
