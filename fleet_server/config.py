"""The server's configuration: DATA/server.toml, read once, passed down in parts.

Everything has a default, so the file may be missing. An unknown key is an error that names the
nearest known one. The database URL may hold a secret, so the environment variable
EDGESHIP_DATABASE_URL, where it is set, wins over the file.

    database_url = "sqlite:////var/lib/edgeship/fleet.db"
    tick_s = 0.5                  how often rollouts and drift are looked at
    offline_after_s = 90.0        silent for longer: offline
    log_level = "info"
    max_artifact_bytes = 1073741824
    [delivery]                    bytes a second of chunks; 0 is no bound
    device_bytes_s = 0
    site_bytes_s = 0
    tenant_bytes_s = 0
    [http]
    host = "127.0.0.1"
    port = 8400
    [devices]                     where devices enroll, renew and fetch, over TLS
    host = "127.0.0.1"
    port = 8401
    [identity]
    names = ["127.0.0.1"]         what devices call this machine: host names and addresses in its certificates
    certificate_days = 30.0       how long a device's certificate lives
    [broker]
    kind = "auto"                 auto | mosquitto | amqtt | external
    host = "127.0.0.1"            where devices and server reach it
    port = 0                      0: a free one, chosen once and kept (not for external)
"""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from contracts.codec import from_plain
from contracts.errors import DecodeError
from fleet_server.errors import ConfigError

CONFIG_FILE = "server.toml"
DATABASE_URL_VARIABLE = "EDGESHIP_DATABASE_URL"
OFFLINE_AFTER_S = 90.0


class BrokerKind(StrEnum):
    """Who runs the MQTT broker."""

    AUTO = "auto"
    """mosquitto where it is installed, else amqtt."""
    MOSQUITTO = "mosquitto"
    AMQTT = "amqtt"
    EXTERNAL = "external"
    """Somebody else; the server only connects."""


class LogLevel(StrEnum):
    """How much the server says."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpConfig:
    """Where the API and the console listen; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8400


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicesConfig:
    """Where the listener for devices is; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 8401


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityConfig:
    """How server and broker are called by devices, and how long a device's certificate lives."""

    names: tuple[str, ...] = ("127.0.0.1", "::1", "localhost")
    certificate_days: float = 30.0

    def __post_init__(self) -> None:
        """Refuse certificates that nobody could use."""
        if not self.names or not 0 < self.certificate_days <= 366:
            raise ValueError("names must not be empty, and certificate_days must be over 0 and at most 366")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryConfig:
    """Bytes a second of chunks that one device, one site and one tenant are sent; 0 is no bound."""

    device_bytes_s: int = 0
    site_bytes_s: int = 0
    tenant_bytes_s: int = 0

    def __post_init__(self) -> None:
        """Refuse rates below nothing."""
        if min(self.device_bytes_s, self.site_bytes_s, self.tenant_bytes_s) < 0:
            raise ValueError("device_bytes_s, site_bytes_s and tenant_bytes_s must not be negative; 0 is no bound")


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerConfig:
    """Which broker, and where devices and server reach it."""

    kind: BrokerKind = BrokerKind.AUTO
    host: str = "127.0.0.1"
    port: int = 0

    def __post_init__(self) -> None:
        """Refuse an external broker without its port."""
        if self.kind is BrokerKind.EXTERNAL and self.port == 0:
            raise ValueError("an external broker needs its port, as in port = 8883")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Everything that one server process is told. An empty ``database_url`` is DATA/fleet.db."""

    data_dir: Path
    database_url: str = field(default="", repr=False)
    http: HttpConfig = field(default_factory=HttpConfig)
    devices: DevicesConfig = field(default_factory=DevicesConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    delivery: DeliveryConfig = field(default_factory=DeliveryConfig)
    tick_s: float = 0.5
    offline_after_s: float = OFFLINE_AFTER_S
    log_level: LogLevel = LogLevel.INFO
    max_artifact_bytes: int = 1024**3

    def __post_init__(self) -> None:
        """Refuse times that never come and limits that let nothing in."""
        if self.tick_s <= 0 or self.offline_after_s <= 0 or self.max_artifact_bytes <= 0:
            raise ValueError("tick_s, offline_after_s and max_artifact_bytes must be positive")

    @property
    def url(self) -> str:
        """The database's URL, the default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir / 'fleet.db'}"


def load_config(data_dir: Path, environment: Mapping[str, str]) -> ServerConfig:
    """Return the configuration of the server whose data are in the folder.

    Raises:
        ConfigError: not TOML, an unknown key, or a value of the wrong type.
    """
    path = data_dir / CONFIG_FILE
    plain = _read(path)
    _refuse_unknown(plain, _ServerFile, path, "")
    try:
        file = from_plain(_ServerFile, plain)
        config = ServerConfig(
            data_dir=data_dir, **{entry.name: getattr(file, entry.name) for entry in dataclasses.fields(file)}
        )
    except (DecodeError, ValueError) as error:
        raise ConfigError(f"{path}: {str(error).replace('_ServerFile', '').lstrip('.: ')}") from error
    secret = environment.get(DATABASE_URL_VARIABLE, "")
    return dataclasses.replace(config, database_url=secret) if secret else config


@dataclass(frozen=True, slots=True, kw_only=True)
class _ServerFile:
    database_url: str = ""
    http: HttpConfig = field(default_factory=HttpConfig)
    devices: DevicesConfig = field(default_factory=DevicesConfig)
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    broker: BrokerConfig = field(default_factory=BrokerConfig)
    delivery: DeliveryConfig = field(default_factory=DeliveryConfig)
    tick_s: float = 0.5
    offline_after_s: float = OFFLINE_AFTER_S
    log_level: LogLevel = LogLevel.INFO
    max_artifact_bytes: int = 1024**3


_SECTIONS: Mapping[str, type] = {
    "http": HttpConfig,
    "devices": DevicesConfig,
    "identity": IdentityConfig,
    "broker": BrokerConfig,
    "delivery": DeliveryConfig,
}


def _read(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from error


def _refuse_unknown(plain: Mapping[str, object], kind: type, path: Path, section: str) -> None:
    known = [entry.name for entry in dataclasses.fields(kind)]
    for key, value in plain.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            advice = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}"
            raise ConfigError(f"{path}: unknown key {section + key!r}; {advice}")
        if key in _SECTIONS and not section and isinstance(value, dict):
            _refuse_unknown(value, _SECTIONS[key], path, f"{key}.")
