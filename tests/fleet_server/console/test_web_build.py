"""Building the browser side: what it makes, and what it says when it cannot."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

WEB = Path(__file__).parents[3] / "web"
NOWHERE = {"npm_config_registry": "http://127.0.0.1:9", "npm_config_fetch_retries": "0", "npm_config_offline": "false"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources whose packages were never fetched."""
    (tmp_path / "fleet_server" / "console").mkdir(parents=True)
    shutil.copytree(WEB, tmp_path / "web", ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    return tmp_path


@pytest.mark.slow
def test_registry_that_cannot_be_reached_is_one_error_with_what_to_do(tree: Path) -> None:
    done = _build(tree, **NOWHERE, npm_config_cache=str(tree / "cache"))

    assert done.returncode == 1
    assert done.stderr.startswith("error: the console's packages could not be fetched.")
    assert "EDGESHIP_WITHOUT_WEB=1" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tree / "fleet_server" / "console" / "static").exists()


def test_build_can_be_left_out_on_purpose(tree: Path) -> None:
    done = _build(tree, EDGESHIP_WITHOUT_WEB="1")

    assert done.returncode == 0
    assert "left out" in done.stdout


def test_second_build_of_the_same_sources_does_nothing(tree: Path) -> None:
    web = _module(tree / "web" / "build.py")
    static = tree / "static"
    static.mkdir()
    (static / "build.json").write_text(json.dumps({"fingerprint": web._fingerprint()}))
    said: list[str] = []

    did_something = web.build(static=static, say=said.append)

    assert did_something is False
    assert said == ["web: static/ is up to date"]


def test_changed_source_changes_the_fingerprint(tree: Path) -> None:
    web = _module(tree / "web" / "build.py")
    before = web._fingerprint()

    (tree / "web" / "src" / "app.css").write_text("body { color: red }")

    assert web._fingerprint() != before


def test_lock_names_versions_and_digests_and_no_place_to_fetch_from() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text())
    packages = [entry for path, entry in lock["packages"].items() if path]

    assert len(packages) >= 5
    assert all(entry["integrity"].startswith("sha512-") for entry in packages)
    assert not any("resolved" in entry for entry in packages)


def test_wanted_packages_are_pinned_exactly() -> None:
    wanted = json.loads((WEB / "package.json").read_text())
    versions = [*wanted["dependencies"].values(), *wanted["devDependencies"].values()]

    assert all(version[0].isdigit() for version in versions)


def _build(tree: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(tree / "web" / "build.py")]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"web_build_of_{path.parent.parent.name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
