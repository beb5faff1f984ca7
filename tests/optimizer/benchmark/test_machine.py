"""This machine in words."""

from __future__ import annotations

from pathlib import Path

from optimizer.benchmark.machine import machine_in_words


def test_the_processor_is_named_from_what_the_system_tells(tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: Cortex-A72 rev 3\n", encoding="utf-8")

    assert machine_in_words(told).startswith("Cortex-A72 rev 3, ")


def test_a_board_names_itself_where_the_processor_is_not_told(tmp_path: Path) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nModel\t\t: Raspberry Pi 4 Model B\n", encoding="utf-8")

    assert machine_in_words(told).startswith("Raspberry Pi 4 Model B, ")


def test_a_system_that_tells_nothing_is_still_words(tmp_path: Path) -> None:
    assert "core" in machine_in_words(tmp_path / "absent")
