"""The agent stays light: what happens at import, not only what is written (the linter sees the latter)."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "onnx", "onnxruntime", "onnxsim", "fastapi", "sqlalchemy", "pydantic", "rich", "jinja2", "tensorflow"}


def modules_after(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after the statement."""
    program = (
        f"{statement}\nimport sys, json\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("package", ["edge_agent", "edge_agent.supervisor", "edge_agent.cli", "contracts.manifest"])
def test_the_agent_loads_nothing_heavy(package: str) -> None:
    loaded = modules_after(f"import {package}")

    assert not loaded & HEAVY


@pytest.mark.parametrize(
    "package",
    ["optimizer", "optimizer.cli.recipe", "fleet_server", "signing.cli_release", "device_profiles", "edgeship.cli"],
)
def test_a_package_and_its_command_line_load_no_framework(package: str) -> None:
    loaded = modules_after(f"import {package}")

    assert not loaded & {"torch", "onnx", "onnxruntime", "sqlalchemy", "fastapi"}


def test_help_of_the_one_command_imports_none_of_the_packages() -> None:
    quiet_help = """
import contextlib, io
from edgeship.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["--help"])
"""

    loaded = modules_after(quiet_help)

    assert not loaded & {"optimizer", "edge_agent", "fleet_server", "signing", "device_profiles", "numpy"}
