"""The wheel holds exactly our packages, and installed bare it is the light agent."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"contracts", "device_profiles", "edge_agent", "edgeship", "fleet_server", "optimizer", "signing"}
HEAVY = {"torch", "onnx", "onnxruntime", "fastapi", "sqlalchemy", "pydantic", "jinja2", "rich", "tensorflow"}
STATIC = Path("fleet_server/console/static")
NOT_BARE = """
import importlib.util, json, sys
print(json.dumps([name for name in sys.argv[1:] if importlib.util.find_spec(name)]))
"""

pytestmark = pytest.mark.slow


def sources() -> list[Path]:
    """Return the files of the checkout that git does not ignore: what a commit of it would hold."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.split("\0") if name and (ROOT / name).is_file()]


def clean_copy(folder: Path) -> None:
    """Copy the sources; the console's bundle comes along where it is built, so that nothing is fetched."""
    for path in sources():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, folder / path)
    if (ROOT / STATIC).is_dir():
        shutil.copytree(ROOT / STATIC, folder / STATIC, dirs_exist_ok=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a clean copy; without a built console it is built without one, as a user may ask for."""
    folder = tmp_path_factory.mktemp("sources")
    clean_copy(folder)
    environment = {**os.environ, **({} if (ROOT / STATIC).is_dir() else {"EDGESHIP_WITHOUT_WEB": "1"})}
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((folder / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    archive = zipfile.ZipFile(wheel)
    name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(archive.read(name))


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment with the wheel and its base dependencies alone."""
    folder = tmp_path_factory.mktemp("bare")
    venv.EnvBuilder(with_pip=True, symlinks=True).create(folder)
    command = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        str(wheel),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def test_the_wheel_holds_exactly_our_packages(names: set[str]) -> None:
    tops = {name.partition("/")[0] for name in names}

    assert {name for name in tops if not re.fullmatch(r"edgeship-[0-9.]+\.dist-info", name)} == PACKAGES
    assert len(tops) == len(PACKAGES) + 1


def test_the_wheel_holds_every_source_of_our_packages_and_no_other_python(names: set[str]) -> None:
    expected = {str(path) for path in sources() if path.parts[0] in PACKAGES and path.suffix == ".py"}

    assert {name for name in names if name.endswith(".py")} == expected


@pytest.mark.parametrize(
    "pattern",
    ["device_profiles/catalog/*.toml", "*/templates/*", "contracts/*.md", "fleet_server/database/migrations/*"],
)
def test_the_wheel_holds_what_the_packages_read(names: set[str], pattern: str) -> None:
    expected = {str(path) for path in sources() if path.parts[0] in PACKAGES and path.match(pattern)}

    assert expected
    assert expected <= names


def test_the_wheel_holds_the_built_console(names: set[str]) -> None:
    built = {str(STATIC / path.name) for path in (ROOT / STATIC).glob("*")}

    assert built == {name for name in names if name.startswith(f"{STATIC}/")}


def test_the_wheel_holds_no_tests_and_no_tools(names: set[str]) -> None:
    unwanted = re.compile(r"(^|/)(tests|benchmarks|web|node_modules|docs|__pycache__)/|\.(ts|pyc|lock)$")

    assert [name for name in names if unwanted.search(name)] == []


def test_the_base_dependencies_are_the_light_agents(metadata: Message) -> None:
    required = [Requirement(str(line)) for line in metadata.get_all("Requires-Dist", [])]

    base = {one.name for one in required if "extra" not in str(one.marker)}

    assert not base & HEAVY
    assert {"cbor2", "cryptography", "numpy", "paho-mqtt", "tuf"} <= base
    assert set(metadata.get_all("Provides-Extra", [])) == {
        "onnxruntime",
        "tflite",
        "optimizer",
        "microcontroller",
        "pkcs11",
        "server",
        "all",
    }


def test_a_bare_install_has_nothing_heavy(bare: Path) -> None:
    done = subprocess.run([bare / "python", "-c", NOT_BARE, *sorted(HEAVY)], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_bare_install_imports_the_agent_and_nothing_heavy(bare: Path) -> None:
    command = [str(bare / "python"), "-X", "importtime", "-c", "import edge_agent.supervisor, edge_agent.cli"]

    done = subprocess.run(command, cwd=bare, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}

    assert "edge_agent" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    "command", [["agent", "--help"], ["profile", "ls"], ["release", "--help"], ["optimize", "--help"]]
)
def test_a_bare_install_answers(bare: Path, command: list[str]) -> None:
    done = subprocess.run([bare / "edgeship", *command], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize(
    ("command", "extra"), [(["recipe", "passes"], "optimizer"), (["server", "init", "--data", "x"], "server"), (["demo"], "all")]
)  # fmt: skip
def test_a_bare_install_names_the_extra_that_is_missing(
    bare: Path, tmp_path: Path, command: list[str], extra: str
) -> None:
    done = subprocess.run([bare / "edgeship", *command], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert re.fullmatch(
        rf"error: 'edgeship {command[0]}' needs .*: run pip install 'edgeship\[{extra}\]'\n", done.stderr
    )
    assert list(tmp_path.iterdir()) == []
