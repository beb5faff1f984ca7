"""What an agent is told, and how it says that it was told wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.config import load_config
from edge_agent.errors import ConfigError

MINIMAL = """
device = "pi-1"
profile = "raspberry-pi-4"
state_dir = "state"
trust_root = "root.json"
director_root = "director-root.json"
server.url = "https://fleet:8401"
"""


def _write(folder: Path, text: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(text)
    return path


def test_a_minimal_file_gets_the_defaults_and_paths_beside_it(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path, MINIMAL))

    assert config.state_dir == tmp_path / "state"
    assert config.trust_root == tmp_path / "root.json"
    assert config.director_root == tmp_path / "director-root.json"
    assert (config.serving.host, config.update.chunk_credit) == ("127.0.0.1", 16)
    assert (config.reporting.heartbeat_s, config.reporting.sketch_window_s) == (30.0, 300.0)


def test_sections_override_the_defaults(tmp_path: Path) -> None:
    config = load_config(_write(tmp_path, MINIMAL + "[update]\nchunk_credit = 2\nprobation_s = 5\n"))

    assert (config.update.chunk_credit, config.update.probation_s) == (2, 5.0)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ("devise = 1\n", "unknown key 'devise'; did you mean 'device'?"),
        ("[update]\nchunk_credits = 2\n", "unknown key 'update.chunk_credits'; did you mean 'chunk_credit'?"),
        ("[serving]\nzzz = 2\n", "known keys are host, port, max_body_bytes"),
        ("[serving]\nport = 70000\n", "port 70000 is not between 0 and 65535"),
        ("[serving]\nport = true\n", "serving.port must be a number, not True"),
        ("[serving]\nhost = 7\n", "serving.host must be text, not 7"),
        ("[update]\nchunk_credit = 0\n", "chunk_credit 0 is not between 1 and 256"),
        ("[reporting]\nheartbeat_s = 0\n", "heartbeat_s and sketch_window_s must be positive"),
        ("update = 5\n", "update is a table of settings, not 5"),
        ("[update\n", "not TOML"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(tmp_path: Path, extra: str, words: str) -> None:
    path = _write(tmp_path, MINIMAL + extra)

    with pytest.raises(ConfigError) as caught:
        load_config(path)

    assert words in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("key", ["device", "profile", "state_dir", "trust_root", "director_root", "server"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    kept = "\n".join(line for line in MINIMAL.splitlines() if not line.startswith(key))

    with pytest.raises(ConfigError, match=f"key '{key}' is missing"):
        load_config(_write(tmp_path, kept))


def test_a_device_name_that_no_topic_can_carry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Pi/1"):
        load_config(_write(tmp_path, MINIMAL.replace("pi-1", "Pi/1")))


def test_an_address_that_is_no_http_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="write it as https://HOST:PORT"):
        load_config(_write(tmp_path, MINIMAL.replace("https://", "http://")))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load_config(tmp_path / "nowhere.toml")
