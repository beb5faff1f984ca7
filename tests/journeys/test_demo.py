"""The whole story with real processes: on mosquitto, and on the embedded broker.

The demo itself kills an agent in the middle of its download (SIGKILL) and reads the server's counters.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIMIT_S = 400


def run_demo(state: Path, broker: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    command = [sys.executable, "-m", "edgeship", "demo", "--state", str(state), "--broker", broker]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=LIMIT_S)


@pytest.mark.slow
@pytest.mark.parametrize("broker", [pytest.param("mosquitto", marks=pytest.mark.system), "amqtt"])
def test_the_demo_holds_every_step(tmp_path: Path, broker: str) -> None:
    done = run_demo(tmp_path / "state", broker)

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-3000:]
    said = " ".join(done.stdout.split())
    assert "was killed (SIGKILL) in the middle of its download" in said
    assert "it asked for no verified chunk again" in said
    assert (tmp_path / "state" / "reports" / "raspberry-pi-4.html").stat().st_size > 10_000
    assert list((tmp_path / "state" / "server" / "retrain-requests").glob("*.json"))


@pytest.mark.slow
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")

    done = run_demo(tmp_path, "amqtt")

    assert done.returncode == 2
    assert "holds other files" in done.stderr
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
