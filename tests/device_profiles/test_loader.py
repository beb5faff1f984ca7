"""A profile file is right, or the message names the file, the line and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import device_profiles
from contracts.manifest import ModelFormat
from device_profiles import load_profile
from device_profiles.errors import ProfileError, ProfileInvalid, UnknownProfile
from device_profiles.loader import parse_profile, read_profile_file

GOOD = """\
name = "test-board"
title = "Test board"
device_class = "linux"
architecture = "aarch64"
cpu = "Cortex-A53"
cores = 4
clock_hz = 1_000_000_000
memory_bytes = 1_000_000
model_memory_bytes = 250_000
formats = ["tflite", "onnx"]
full_int8 = false
computes_fp16 = false

[[sources]]
fields = ["architecture", "cpu", "cores", "clock_hz", "memory_bytes"]
document = "the board's data sheet"

[[sources]]
fields = ["model_memory_bytes", "formats", "full_int8", "computes_fp16"]
document = "our choice"
"""


def refusal(text: str) -> str:
    with pytest.raises(ProfileInvalid) as caught:
        parse_profile(text, where="board.toml")
    return str(caught.value)


def test_a_good_file_is_a_profile() -> None:
    profile = parse_profile(GOOD, where="board.toml")

    assert (profile.name, profile.cores, profile.storage_bytes) == ("test-board", 4, None)
    assert profile.formats == (ModelFormat.TFLITE, ModelFormat.ONNX)


@pytest.mark.parametrize(
    ("find", "put", "message"),
    [
        ("cores =", "core =", "board.toml:6: the profile has no key 'core'; the nearest is 'cores'"),
        ('document = "our', 'documents = "our', "board.toml:20: a source has no key 'documents'; the nearest is 'document'"),
        ("cores = 4", 'cores = "four"', "board.toml:6: cores: expected int, got str"),
        ("cores = 4", "cores = 0", "board.toml:6: cores is 0; it counts something there, so 1 or more"),
        ("1_000_000_000", "1e9", "board.toml:7: clock_hz: expected int, got float"),
        ("250_000", "2_000_000", "board.toml:9: a model cannot take more than memory_bytes"),
        ('"linux"', '"mainframe"', "board.toml:3: device_class: 'mainframe' is not a valid DeviceClass; give one of linux, microcontroller"),
        ('["tflite", "onnx"]', "[]", "board.toml:10: name at least one model format, each once, the preferred one first"),
        ('["tflite", "onnx"]', '["coreml"]', "board.toml:10: formats[0]: 'coreml' is not a valid ModelFormat; give one of onnx, tflite"),
        ('"cores", ', "", "board.toml:14: no source is named for cores; add one under [[sources]]"),
        ('"our choice"', '"our choice', "board.toml:20: not TOML: Illegal character '\\n' (at line 20, column 23)"),
        ('"full_int8", ', '"full_int8", "fullint8", ', "board.toml:15: a source names the field 'fullint8'; the nearest is 'full_int8'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_file_and_line(find: str, put: str, message: str) -> None:
    assert find in GOOD

    assert refusal(GOOD.replace(find, put)) == message


def test_a_missing_key_is_named() -> None:
    assert refusal(GOOD.replace("cores = 4\n", "")) == "board.toml:1: cores: missing"


def test_a_name_that_fits_no_path_is_refused_at_its_line() -> None:
    assert refusal(GOOD.replace('"test-board"', '"../board"')).startswith("board.toml:1: profile name '../board'")


def test_a_typing_mistake_in_a_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownProfile, match="did you mean raspberry-pi-4 or raspberry-pi-5") as caught:
        load_profile("rasberry-pi-4")

    assert "edgeship profile ls" in str(caught.value)


@pytest.mark.parametrize("name", ["", "zzzzzz", "../errors", "catalog/raspberry-pi-4", "\x00"])
def test_a_name_like_no_other_still_names_the_next_step(name: str) -> None:
    with pytest.raises(UnknownProfile, match="edgeship profile ls"):
        load_profile(name)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ProfileInvalid, match="cannot be read"):
        read_profile_file(tmp_path / "none.toml")


@given(st.text(max_size=200))
def test_any_text_is_a_profile_or_a_refusal(text: str) -> None:
    with pytest.raises(ProfileError):
        parse_profile(text, where="any.toml")


@given(place=st.integers(0, len(GOOD) - 1), letter=st.characters(codec="utf-8"))
def test_a_changed_letter_never_escapes_as_another_error(place: int, letter: str) -> None:
    changed = GOOD[:place] + letter + GOOD[place + 1 :]

    try:
        outcome: str = parse_profile(changed, where="any.toml").name
    except ProfileInvalid as error:
        outcome = error.where

    assert outcome


def test_the_public_names_are_those_that_are_listed() -> None:
    listed = {name: getattr(device_profiles, name) for name in device_profiles.__all__}

    assert sorted(listed) == device_profiles.__all__
    with pytest.raises(AttributeError):
        device_profiles.no_such_name  # noqa: B018 - the access is what is tested
