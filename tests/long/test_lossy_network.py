"""The bad wire does what it says: shown by its own counters and by what two processes see across it."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from tests.long.lossy_network import lossy_network
from tests.slow import record, seed

pytestmark = [pytest.mark.long, pytest.mark.slow, pytest.mark.system]

_PINGS = 400
_ECHO = """
import socket
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
line.bind(("0.0.0.0", 4000))
while True:
    line.sendto(*line.recvfrom(64))
"""
_ASK = """
import json, select, socket, sys, time
line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sent, answers, wanted = {}, {}, int(sys.argv[2])
last = time.monotonic() + 0.5
while time.monotonic() < last + 2.0:
    if len(sent) < wanted and time.monotonic() > last:
        sent[len(sent)] = last = time.monotonic()
        line.sendto(str(len(sent) - 1).encode(), (sys.argv[1], 4000))
    if select.select([line], [], [], 0.01)[0]:
        number = int(line.recv(64))
        answers[number] = time.monotonic() - sent[number]
print(json.dumps(list(answers.values())))
"""


@pytest.mark.parametrize(("loss", "round_trip_s"), [(0.0, 0.05), (0.05, 0.05), (0.2, 0.5)])
def test_packets_are_lost_and_late_as_asked_for(loss: float, round_trip_s: float, tmp_path: Path) -> None:
    with lossy_network(tmp_path, loss=loss, round_trip_s=round_trip_s, seed=seed()) as network:
        echo = subprocess.Popen(network.command(network.right, sys.executable, "-c", _ECHO))
        asking = network.command(network.left, sys.executable, "-c", _ASK, network.right_address, str(_PINGS))
        answers = json.loads(subprocess.run(asking, capture_output=True, text=True, check=True).stdout)
        echo.kill()
        echo.wait()
        there, back = network.counted()

    lost = 1 - len(answers) / _PINGS
    median_s = statistics.median(answers)
    record(f"lost of {_PINGS} at {loss:g} each way", round(lost, 4))
    record(f"median ms of {1000 * round_trip_s:g}", round(1000 * median_s, 1))
    expected = 1 - (1 - loss) ** 2
    assert abs(lost - expected) <= 4 * (expected * (1 - expected) / _PINGS) ** 0.5
    assert there.packets >= _PINGS
    assert back.packets <= there.packets
    assert round_trip_s <= median_s <= round_trip_s + 0.02
