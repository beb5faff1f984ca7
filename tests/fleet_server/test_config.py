"""server.toml: what it means, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet_server.config import BrokerKind, load_config
from fleet_server.errors import ConfigError


def write(folder: Path, text: str) -> Path:
    (folder / "server.toml").write_text(text)
    return folder


def test_everything_has_a_default(tmp_path: Path) -> None:
    config = load_config(tmp_path, {})

    assert config.url == f"sqlite:///{tmp_path}/fleet.db"
    assert (config.http.host, config.broker.kind, config.tick_s) == ("127.0.0.1", BrokerKind.AUTO, 0.5)


def test_the_file_is_read_in_parts(tmp_path: Path) -> None:
    write(tmp_path, 'tick_s = 2\n[http]\nport = 9000\n[broker]\nkind = "external"\nhost = "mq"\nport = 1883\n')

    config = load_config(tmp_path, {})

    assert (config.tick_s, config.http.port) == (2.0, 9000)
    assert (config.broker.kind, config.broker.host, config.broker.port) == (BrokerKind.EXTERNAL, "mq", 1883)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tick = 1", r"unknown key 'tick'; did you mean 'tick_s'\?"),
        ("[http]\nprot = 1", r"unknown key 'http.prot'; did you mean 'port'\?"),
        ("[broker]\nxyz = 1", r"unknown key 'broker.xyz'; known keys are kind, host, port"),
        ("tick_s = 'fast'", "tick_s: expected float, got str"),
        ("tick_s = 0", "must be positive"),
        ("http = 3", "http: expected a map, got int"),
        ('[broker]\nkind = "rabbit"', "'rabbit' is not a valid BrokerKind"),
        ('[broker]\nkind = "external"', "an external broker needs its port"),
        ("tick_s = ", "cannot read"),
    ],
)
def test_what_cannot_be_meant_is_one_line_that_names_file_and_key(tmp_path: Path, text: str, words: str) -> None:
    write(tmp_path, text)

    with pytest.raises(ConfigError, match=words) as refusal:
        load_config(tmp_path, {})

    assert str(tmp_path / "server.toml") in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_the_database_secret_comes_from_the_environment_and_is_not_shown(tmp_path: Path) -> None:
    write(tmp_path, 'database_url = "sqlite:///elsewhere.db"')

    config = load_config(tmp_path, {"EDGESHIP_DATABASE_URL": "postgresql://me:hunter2@db/fleet"})

    assert config.url == "postgresql://me:hunter2@db/fleet"
    assert "hunter2" not in repr(config)
