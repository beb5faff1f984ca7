"""TOML to DeviceProfile: every key known, every type right, every fact with a source; else file and line.

A profile's file is named after it: ``catalog/raspberry-pi-4.toml`` holds ``raspberry-pi-4``.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
import tomllib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from contracts.codec import from_plain
from contracts.errors import DecodeError, InvalidId
from contracts.ids import parse_profile_name
from device_profiles.errors import ProfileInvalid, UnknownProfile
from device_profiles.host import HOST, host_profile
from device_profiles.profile import DeviceProfile, Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SUFFIX = ".toml"
NAMES_ITSELF = frozenset({"name", "title", "device_class", "sources"})
"""Fields that say which device is meant, and so need no source."""

_ALIASES = {"rpi": "raspberrypi", "raspi": "raspberrypi"}
"""What people call devices, and how their names begin here."""
_SYNTAX_LINE = re.compile(r"\(at line (\d+), column \d+\)")
_FIELD_PATH = re.compile(r"^DeviceProfile\.(\w+)")


def load_profile(name: str) -> DeviceProfile:
    """Return the catalog's profile of that name; ``host`` is this machine itself.

    Raises:
        UnknownProfile: there is none; the message names the nearest.
        ProfileInvalid: the catalog's file is not right.
    """
    if name == HOST:
        return host_profile()
    files = _catalog()
    if name not in files:
        raise UnknownProfile(name, _nearest(name, files))
    return parse_profile(files[name], where=f"{name}{SUFFIX}")


def _nearest(name: str, files: Mapping[str, str]) -> list[str]:
    """Return at most three profiles: those whose name or title holds the words, then those spelt alike."""
    wanted = _squeezed(name)
    for alias, meant in _ALIASES.items():
        wanted = meant + wanted.removeprefix(alias) if wanted.startswith(alias) else wanted
    titles = {known: parse_profile(text, where=f"{known}{SUFFIX}").title for known, text in files.items()}
    holding = [known for known, title in titles.items() if wanted and wanted in _squeezed(f"{known} {title}")]
    return list(dict.fromkeys((*holding, *difflib.get_close_matches(name, files, n=3, cutoff=0.5))))[:3]


def _squeezed(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def all_profiles() -> tuple[DeviceProfile, ...]:
    """Return every profile of the catalog, by name.

    Raises:
        ProfileInvalid: one of the files is not right.
    """
    return tuple(load_profile(name) for name in _catalog())


def read_profile_file(path: Path) -> DeviceProfile:
    """Return the profile in a file of one's own.

    Raises:
        ProfileInvalid: the file cannot be read or is not right.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ProfileInvalid(
            str(path), 1, f"cannot be read ({error.strerror}); give the path of a TOML file"
        ) from error
    except UnicodeDecodeError as error:
        raise ProfileInvalid(str(path), 1, "is no text in UTF-8; give the path of a TOML file") from error
    return parse_profile(text, where=str(path))


def parse_profile(text: str, *, where: str) -> DeviceProfile:
    """Return the profile that the TOML text spells; ``where`` is the file's name for messages.

    Raises:
        ProfileInvalid: with file and line.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _SYNTAX_LINE.search(str(error))
        raise ProfileInvalid(where, int(found[1]) if found else 1, f"not TOML: {error}") from error
    page = _Page(where=where, text=text)
    page.refuse_unknown(table, DeviceProfile, section="the profile")
    for source in _tables(table.get("sources", [])):
        page.refuse_unknown(source, Source, section="a source")
    try:
        profile = from_plain(DeviceProfile, table)
    except DecodeError as error:
        named = _FIELD_PATH.match(str(error))
        raise page.invalid(named[1] if named else "", str(error).removeprefix("DeviceProfile.")) from error
    _check(profile, page)
    return profile


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    where: str
    text: str

    def invalid(self, key: str, problem: str) -> ProfileInvalid:
        return ProfileInvalid(self.where, self._line_of(key), problem)

    def refuse_unknown(self, table: Mapping[str, object], kind: type, *, section: str) -> None:
        known = [field.name for field in dataclasses.fields(kind)]
        for key in table:
            if key not in known:
                nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
                raise self.invalid(key, f"{section} has no key {key!r}; the nearest is {nearest!r}")

    def _line_of(self, key: str) -> int:
        pattern = re.compile(rf"^\s*(\[+\s*)?[\"']?{re.escape(key)}[\"']?\s*[=\].]") if key else re.compile(r"$^")
        lines = enumerate(self.text.splitlines(), start=1)
        return next((number for number, line in lines if pattern.search(line)), 1)


def _check(profile: DeviceProfile, page: _Page) -> None:
    try:
        parse_profile_name(profile.name)
    except InvalidId as error:
        raise page.invalid("name", str(error)) from error
    for key in ("cores", "clock_hz", "memory_bytes", "model_memory_bytes", "storage_bytes"):
        value = getattr(profile, key)
        if value is not None and value <= 0:
            raise page.invalid(key, f"{key} is {value}; it counts something there, so 1 or more")
    if profile.model_memory_bytes > profile.memory_bytes:
        raise page.invalid("model_memory_bytes", "a model cannot take more than memory_bytes")
    if not profile.formats or len(set(profile.formats)) != len(profile.formats):
        raise page.invalid("formats", "name at least one model format, each once, the preferred one first")
    unsourced = sorted(_facts(profile) - {name for source in profile.sources for name in source.fields})
    if unsourced:
        raise page.invalid("sources", f"no source is named for {', '.join(unsourced)}; add one under [[sources]]")
    known = {field.name for field in dataclasses.fields(DeviceProfile)}
    strays = [name for source in profile.sources for name in source.fields if name not in known]
    if strays:
        nearest = difflib.get_close_matches(strays[0], known, n=1, cutoff=0.0)[0]
        raise page.invalid("fields", f"a source names the field {strays[0]!r}; the nearest is {nearest!r}")


def _facts(profile: DeviceProfile) -> set[str]:
    names = {field.name for field in dataclasses.fields(profile)} - NAMES_ITSELF
    return {name for name in names if getattr(profile, name) is not None}


def _tables(value: object) -> Iterable[dict[str, object]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


@cache
def _catalog() -> dict[str, str]:
    folder = resources.files("device_profiles") / "catalog"
    files = {file.name.removesuffix(SUFFIX): file for file in folder.iterdir() if file.name.endswith(SUFFIX)}
    return {name: files[name].read_text("utf-8") for name in sorted(files)}
