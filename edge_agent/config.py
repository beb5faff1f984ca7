"""The agent's configuration: one TOML file, read once, passed down in parts.

    device = "pi-1"                   # a name of its own in the fleet
    profile = "raspberry-pi-4"        # which artifact of a release is for it
    state_dir = "state"               # keys, slots, journal, outbox; relative to this file
    trust_root = "root.json"          # first root of the model repository: what is released
    director_root = "director-root.json"    # first root of the director: what this device runs
    server.url = "https://fleet:8401"  # the server's listener for devices

Everything else has a default (see the dataclasses). Both roots are required: there is no trust on
first use. An unknown key is an error that names the nearest known one.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from contracts.chunks import MAX_CREDIT
from contracts.errors import InvalidId
from contracts.ids import DeviceId, ProfileName, parse_device_id, parse_profile_name, parse_site_name
from edge_agent.errors import ConfigError

Section = TypeVar("Section")
_URL = re.compile(r"https://(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Where the fleet server listens for devices; used to enroll, to renew, and as the fallback for chunks."""

    url: str

    def __post_init__(self) -> None:
        """Refuse what is no HTTPS address."""
        if not _URL.fullmatch(self.url):
            raise ValueError(
                f"url {self.url!r} is no HTTPS address; write it as https://HOST:PORT, with the port for devices"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingConfig:
    """Where the agent answers inference requests; port 0 takes a free one (see serving.json)."""

    host: str = "127.0.0.1"
    port: int = 8000
    max_body_bytes: int = 16 * 1024 * 1024

    def __post_init__(self) -> None:
        """Refuse numbers that are no port and no size."""
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port {self.port} is not between 0 and 65535")
        if self.max_body_bytes < 1:
            raise ValueError("max_body_bytes must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportingConfig:
    """How often the device speaks: heartbeats, and how long one sketch window is, in seconds."""

    heartbeat_s: float = 30.0
    sketch_window_s: float = 300.0

    def __post_init__(self) -> None:
        """Refuse periods that are not positive."""
        if self.heartbeat_s <= 0 or self.sketch_window_s <= 0:
            raise ValueError("heartbeat_s and sketch_window_s must be positive")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateConfig:
    """How a release is fetched and proved.

    ``chunk_credit`` chunks at most are on their way at once; where nothing was measured on the link yet, silence of
    ``chunk_timeout_s`` asks again;
    ``probation_runs`` single-row runs give the latency that the budget is compared with; then the
    release serves ``probation_s`` seconds and is judged once more before it is kept (0: at once).
    """

    chunk_credit: int = 16
    chunk_timeout_s: float = 5.0
    probation_runs: int = 60
    probation_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no transfer and no proof can work with."""
        if not 1 <= self.chunk_credit <= MAX_CREDIT:
            raise ValueError(f"chunk_credit {self.chunk_credit} is not between 1 and {MAX_CREDIT}")
        if self.chunk_timeout_s <= 0 or self.probation_runs < 1 or self.probation_s < 0:
            raise ValueError("chunk_timeout_s and probation_runs must be positive, probation_s not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentConfig:
    """Everything an agent process is told; see the module's example.

    Devices of one ``site`` share a line; where it is empty, the group stands in.
    """

    device: DeviceId
    profile: ProfileName
    state_dir: Path
    trust_root: Path
    director_root: Path
    server: ServerConfig
    site: str = ""
    serving: ServingConfig = field(default_factory=ServingConfig)
    reporting: ReportingConfig = field(default_factory=ReportingConfig)
    update: UpdateConfig = field(default_factory=UpdateConfig)


def load_config(path: Path) -> AgentConfig:
    """Return the configuration in the file; its relative paths start at the file's folder.

    Raises:
        ConfigError: the file cannot be read, or a key is unknown, missing or of the wrong kind.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read configuration {path}: {error.strerror}; give its path with --config") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    config = _section(AgentConfig, table, f"{path}: ")
    try:
        parse_device_id(config.device)
        parse_profile_name(config.profile)
        if config.site:
            parse_site_name(config.site)
    except InvalidId as error:
        raise ConfigError(f"{path}: {error}") from error
    return dataclasses.replace(
        config,
        state_dir=path.parent / config.state_dir,
        trust_root=path.parent / config.trust_root,
        director_root=path.parent / config.director_root,
    )


def _section(kind: type[Section], table: Mapping[str, object], where: str) -> Section:
    hints = typing.get_type_hints(kind)
    fields = {entry.name: entry for entry in dataclasses.fields(typing.cast("type[typing.Any]", kind))}
    for key in table:
        if key not in fields:
            file, _, section = where.rpartition(": ")
            raise ConfigError(f"{file}: unknown key {section + key!r}{_nearest(key, tuple(fields))}")
    missing = [name for name, entry in fields.items() if name not in table and _is_required(entry)]
    if missing:
        raise ConfigError(f"{where}key {missing[0]!r} is missing; add it")
    values = {key: _value(hints[key], value, f"{where}{key}") for key, value in table.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ConfigError(f"{where}{error}") from error


def _is_required(entry: dataclasses.Field[typing.Any]) -> bool:
    return entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING


def _value(hint: typing.Any, value: object, where: str) -> object:
    while isinstance(hint, typing.NewType):
        hint = hint.__supertype__
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise ConfigError(f"{where} is a table of settings, not {value!r}")
        return _section(typing.cast("type", hint), value, f"{where}.")
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not hint:
        kind = "text" if hint in (str, Path) else "a number"
        raise ConfigError(f"{where} must be {kind}, not {value!r}")
    return value


def _nearest(key: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known keys are {', '.join(known)}"
