"""What make's installer decides, and the lock that it installs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from edgeship import install

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PINS = [line for line in LOCK.splitlines() if line and not line.startswith("#")]
PINNED = {canonicalize_name(name): number for name, _, number in (line.partition("==") for line in PINS)}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
REQUIRED = [
    Requirement(line)
    for line in [
        *PROJECT["project"]["dependencies"],
        *PROJECT["build-system"]["requires"],
        *(line for lines in EXTRAS.values() for line in lines if not line.startswith("edgeship[")),
    ]
]


def a_report(*requirements: str) -> dict[str, Any]:
    """Return what pip reports of a build of torch with these requirements."""
    return {"install": [{"metadata": {"name": "torch", "version": "2.13.0", "requires_dist": list(requirements)}}]}


@pytest.mark.parametrize(
    "requirement",
    [
        'nvidia-cudnn-cu13==9.1; platform_system == "Linux"',
        "cuda-bindings<14",
        'triton==3.7; platform_system == "Linux"',
    ],
)
def test_a_gpu_build_is_announced_with_the_variable_to_set(requirement: str) -> None:
    notice = install.gpu_notice(a_report("filelock", requirement), "torch==2.13.0")

    assert notice[0].startswith("NOTE: pip would fetch the GPU build of torch==2.13.0")
    assert "EDGESHIP_TORCH_INDEX" in notice[1]


@pytest.mark.parametrize("requirement", ["sympy>=1.13.3", 'triton>=3; extra == "compile"', "networkx"])
def test_a_cpu_build_is_fetched_without_a_word(requirement: str) -> None:
    assert install.gpu_notice(a_report("filelock", requirement), "torch==2.13.0") == ()


def test_a_build_that_requires_nothing_is_fetched_without_a_word() -> None:
    assert install.gpu_notice({"install": [{"metadata": {"name": "torch"}}]}, "torch==2.13.0") == ()


@pytest.mark.parametrize("good", [(3, 11), (3, 12), (3, 13)])
def test_pythons_that_edgeship_supports_are_taken(good: tuple[int, int]) -> None:
    assert install.python_objection(good) == ""


@pytest.mark.parametrize(("bad", "spelt"), [((3, 10), "3.10"), ((3, 14), "3.14"), ((4, 0), "4.0")])
def test_another_python_is_refused_with_the_command_to_type(bad: tuple[int, int], spelt: str) -> None:
    objection = install.python_objection(bad)

    assert objection == f"edgeship needs Python 3.11 to 3.13, this is {spelt}: run 'make PYTHON=python3.11 ...'"


def test_the_pythons_of_the_installer_are_those_of_the_project() -> None:
    supported = SpecifierSet(PROJECT["project"]["requires-python"])

    assert "3.10" not in supported
    assert f"{install.OLDEST_PYTHON[0]}.{install.OLDEST_PYTHON[1]}" in supported


def test_missing_system_packages_are_named_with_the_one_command() -> None:
    assert install.left_out(["mosquitto", "chromium"]) == (
        "tests that need mosquitto, chromium are left out; to bring them in:",
        "    sudo apt-get install mosquitto chromium",
    )


def test_nothing_is_said_where_no_system_package_is_missing() -> None:
    assert install.left_out([]) == ()


def test_a_program_is_found_on_the_path_and_only_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "brokerd").write_text("#!/bin/sh\n")
    (tmp_path / "brokerd").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert install.is_installed("brokerd")
    assert not install.is_installed("no-such-program")


@pytest.mark.parametrize("changed", ["requirements.lock", "pyproject.toml"])
def test_a_change_of_lock_or_project_changes_the_fingerprint(tmp_path: Path, changed: str) -> None:
    (tmp_path / "requirements.lock").write_text("torch==2.13.0\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    before, again = install.fingerprint(tmp_path), install.fingerprint(tmp_path)

    with (tmp_path / changed).open("a") as file:
        file.write("# changed\n")

    assert before == again
    assert install.fingerprint(tmp_path) != before


@pytest.mark.parametrize(
    ("value", "words"), [("https://wheels/cpu", ("--extra-index-url", "https://wheels/cpu")), ("", ())]
)
def test_the_named_index_is_handed_to_pip(monkeypatch: pytest.MonkeyPatch, value: str, words: tuple[str, ...]) -> None:
    monkeypatch.setenv("EDGESHIP_TORCH_INDEX", value)

    assert install.torch_index() == words


def test_the_lock_names_torch_first_so_that_it_can_be_asked_about() -> None:
    assert PINS[0] == install.pinned_torch(LOCK) == "torch==2.13.0"


@pytest.mark.parametrize("line", PINS)
def test_a_line_of_the_lock_is_one_exact_public_version(line: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line)


def test_no_package_is_pinned_twice() -> None:
    assert len(PINNED) == len(PINS)


@pytest.mark.parametrize("requirement", REQUIRED, ids=str)
def test_the_lock_satisfies_what_the_project_asks_for(requirement: Requirement) -> None:
    pinned = PINNED[canonicalize_name(requirement.name)]

    assert pinned in requirement.specifier


@pytest.mark.parametrize("name", sorted({canonicalize_name(requirement.name) for requirement in REQUIRED}))
def test_what_is_installed_is_what_the_lock_says(name: str) -> None:
    assert version(name).partition("+")[0] == PINNED[canonicalize_name(name)]


@pytest.mark.slow
def test_the_environment_has_no_broken_requirements() -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout
