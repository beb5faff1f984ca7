"""``edgeship server``: the commands, and one real process from start to stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from fleet_server.cli_server import server
from fleet_server.database.schema import newest_revision
from fleet_server.errors import BrokerUnreachable, ConfigError, DataDirUnusable, PortTaken, ReleaseRefused
from fleet_server.supervisor import READY_FILE
from signing.keys import init_keys, read_public_key
from signing.repository import Repository
from tests.signing.repositories import PASSPHRASE

START_PATIENCE_S = 40.0


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(server, [str(argument) for argument in arguments])


def made(folder: Path) -> Path:
    result = run("init", "--data", folder / "data", "--token-file", folder / "token")
    assert result.exit_code == 0, result.output
    return folder / "data"


def test_init_shows_the_password_once_and_hides_the_token_in_a_file(tmp_path: Path) -> None:
    result = run("init", "--data", tmp_path / "data", "--token-file", tmp_path / "token", "--json")

    facts = json.loads(result.output)
    token = (tmp_path / "token").read_text().strip()
    assert (facts["user"], facts["token"]) == ("admin", str(tmp_path / "token"))
    assert token not in result.output
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_init_writes_the_public_key_that_the_release_engineer_needs(tmp_path: Path) -> None:
    data = made(tmp_path)

    key = read_public_key(data / "online.pub.json")

    assert (key.keytype, key.scheme, len(key.public)) == ("ed25519", "ed25519", 64)


def test_a_second_init_leaves_the_first_server_alone(tmp_path: Path) -> None:
    data = made(tmp_path)
    before = (data / "online.pem").read_bytes()

    result = run("init", "--data", data)

    assert isinstance(result.exception, ConfigError)
    assert (data / "online.pem").read_bytes() == before


def test_init_twice_says_that_there_is_a_server_before_it_looks_at_the_token_file(tmp_path: Path) -> None:
    words = ("init", "--data", tmp_path / "data", "--token-file", tmp_path / "token")
    run(*words)

    again = run(*words)

    assert again.exit_code == 1
    assert "holds a server already; run it with 'edgeship server run" in str(again.exception)


def test_init_does_not_overwrite_a_token_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("mine")

    result = run("init", "--data", tmp_path / "data", "--token-file", tmp_path / "token")

    assert isinstance(result.exception, DataDirUnusable)
    assert not (tmp_path / "data").exists()


def test_trust_takes_the_roots_that_were_made_for_this_server(tmp_path: Path) -> None:
    data = made(tmp_path)
    files = roots(tmp_path, data)

    first, again = run("trust", "--data", data, *files), run("trust", "--data", data, *files)

    said = "models root version 1 is trusted\ndirector root version 1 is trusted\n"
    assert (first.output, again.output) == (said, said)


def test_trust_refuses_the_two_roots_in_the_wrong_order(tmp_path: Path) -> None:
    data = made(tmp_path)

    result = run("trust", "--data", data, *reversed(roots(tmp_path, data)))

    assert isinstance(result.exception, ReleaseRefused)


def test_a_new_key_lies_beside_the_old_one(tmp_path: Path) -> None:
    data = made(tmp_path)

    result = run("new-key", "--data", data, "director")

    assert f"made {data / 'director-2.pub.json'}; next: name it in a new root" in result.output
    assert (data / "director-2.pem").stat().st_mode & 0o777 == 0o600


def test_migrate_makes_the_directors_key_of_a_server_that_has_none(tmp_path: Path) -> None:
    data = made(tmp_path)
    (data / "director.pem").unlink()
    doctor = run("doctor", "--data", data)

    run("migrate", "--data", data)

    assert "MISSING director key: no director key in" in doctor.output
    assert (data / "director.pem").exists()


def test_trust_refuses_what_is_no_root(tmp_path: Path) -> None:
    data = made(tmp_path)
    (tmp_path / "root.json").write_text('{"signed": "nothing"}')

    result = run("trust", "--data", data, tmp_path / "root.json", tmp_path / "root.json")

    assert isinstance(result.exception, ReleaseRefused)


def test_doctor_names_what_is_missing_and_exits_1(tmp_path: Path) -> None:
    data = made(tmp_path)

    result = run("doctor", "--data", data)

    assert result.exit_code == 1
    assert "MISSING models root: none is trusted yet; run 'edgeship server trust" in result.output
    assert "MISSING director root: none is trusted yet" in result.output
    assert "ok      database: schema" in result.output


def test_doctor_is_content_once_the_roots_are_trusted_and_says_until_when(tmp_path: Path) -> None:
    data = made(tmp_path)
    run("trust", "--data", data, *roots(tmp_path, data))

    result = run("doctor", "--data", data)

    assert result.exit_code == 0, result.output
    assert "ok      models root: version 1, expires 20" in result.output
    assert "ok      director root: version 1, expires 20" in result.output


def test_migrate_says_where_the_schema_is(tmp_path: Path) -> None:
    assert run("migrate", "--data", made(tmp_path)).output == f"the schema is at revision {newest_revision()}\n"


def test_running_a_folder_without_a_server_names_the_command_that_makes_one(tmp_path: Path) -> None:
    result = run("run", "--data", tmp_path / "none", "--http-port", "0")

    assert isinstance(result.exception, ConfigError)
    assert "edgeship server init" in str(result.exception)


@pytest.mark.slow
def test_a_refusal_is_one_line_and_exit_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgeship", "server", "run", "--data", str(tmp_path / "none")]

    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert finished.returncode == 1
    assert finished.stderr.startswith("error: no server in ")
    assert finished.stderr.count("\n") == 1


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    data = made(tmp_path)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        result = run("run", "--data", data, "--http-port", str(listener.getsockname()[1]))

    assert isinstance(result.exception, PortTaken)
    assert "--http-port" in str(result.exception)


def test_an_external_broker_that_does_not_answer_is_one_line(tmp_path: Path) -> None:
    data = made(tmp_path)
    (data / "server.toml").write_text('[broker]\nkind = "external"\nport = 9\n')

    result = run("run", "--data", data, "--http-port", "0")

    assert isinstance(result.exception, BrokerUnreachable)


@pytest.mark.slow
@pytest.mark.parametrize("broker", ["amqtt", pytest.param("mosquitto", marks=pytest.mark.system)])
def test_a_real_server_starts_answers_and_stops_cleanly(tmp_path: Path, broker: str) -> None:
    data = made(tmp_path)

    with a_process(data, broker) as process:
        ready = wait_for_ready(data, process)
        base = f"http://127.0.0.1:{ready['http']['port']}"
        health = wait_for_health(base)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)

    assert health == {"status": "ok", "database": "ok", "broker": "ok"}
    assert process.returncode == 0, output
    assert not (data / READY_FILE).exists()
    assert broker_pid_gone(data)
    assert ("FOR TRYING OUT ONLY" in output) == (broker == "amqtt")


@pytest.mark.slow
def test_a_broker_that_dies_is_started_again_on_its_port(tmp_path: Path) -> None:
    data = made(tmp_path)

    with a_process(data, "amqtt") as process:
        ready = wait_for_ready(data, process)
        base = f"http://127.0.0.1:{ready['http']['port']}"
        wait_for_health(base)
        first = int((data / "broker" / "pid").read_text())
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: int((data / "broker" / "pid").read_text()) != first)
        health = wait_for_health(base)

    assert health["broker"] == "ok"


@pytest.mark.slow
def test_a_server_that_was_killed_starts_again(tmp_path: Path) -> None:
    data = made(tmp_path)
    with a_process(data, "amqtt") as process:
        first = wait_for_ready(data, process)
        process.kill()
        process.wait(10)
        (data / READY_FILE).unlink()

    with a_process(data, "amqtt") as process:
        second = wait_for_ready(data, process)
        health = wait_for_health(f"http://127.0.0.1:{second['http']['port']}")

    assert health["status"] == "ok"
    assert second["broker"] == first["broker"]


def roots(folder: Path, data: Path) -> tuple[Path, Path]:
    """Return the first roots of a repository that was made for the server in ``data``."""
    init_keys(folder / "keys", PASSPHRASE)
    repository = Repository.create(
        folder / "repository",
        folder / "keys",
        passphrase=PASSPHRASE,
        online=read_public_key(data / "online.pub.json"),
        director=read_public_key(data / "director.pub.json"),
        now=datetime.now(UTC),
    )
    return repository.root_path, repository.director_root_path


@contextmanager
def a_process(data: Path, broker: str) -> Iterator[subprocess.Popen[str]]:
    command = [
        sys.executable,
        "-m",
        "edgeship",
        "server",
        "run",
        "--data",
        str(data),
        "--http-port",
        "0",
        "--devices-port",
        "0",
        "--broker",
        broker,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def wait_for_ready(data: Path, process: subprocess.Popen[str]) -> dict[str, dict[str, object]]:
    wait_until(lambda: (data / READY_FILE).exists() or process.poll() is not None)
    facts = json.loads((data / READY_FILE).read_text())
    assert isinstance(facts, dict)
    return facts


def wait_for_health(base: str) -> dict[str, str]:
    wait_until(lambda: httpx.get(f"{base}/health").status_code == 200)
    answer = httpx.get(f"{base}/health").json()
    assert isinstance(answer, dict)
    return answer


def wait_until(holds: object) -> None:
    assert callable(holds)
    deadline = time.monotonic() + START_PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def broker_pid_gone(data: Path) -> bool:
    pid = (data / "broker" / "pid").read_text()
    return not Path(f"/proc/{pid}").exists()
