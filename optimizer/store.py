"""Results kept by content: the same step on the same input is done once, and so is looking at its calibration rows.

The key is the digest of the input, the pass with its version and parameters, the calibration's
fingerprint and the versions of the tools. Only results are stored: a failure is tried again.
Every result made is a line in the store's ledger, so that anyone can count that nothing was made twice.
"""

from __future__ import annotations

import contextlib
import json
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from contracts.codec import from_plain, to_plain
from contracts.errors import DecodeError
from contracts.ids import Digest, digest_of
from contracts.preprocessing import Step
from optimizer.errors import ModelError, OptimizerError
from optimizer.exclusive import exclusive
from optimizer.ledger import LEDGER, Entry, append_entry, read_entries
from optimizer.model import Format, Model
from optimizer.pass_ import Pass
from optimizer.whole_file import write_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One result: the model's bytes, format and adapter, and how long the work took."""

    format: Format
    content: bytes
    digest: Digest
    adapter: tuple[Step, ...]
    seconds: float

    @classmethod
    def of(cls, model: Model, seconds: float) -> Stored:
        """Return what is kept of a model."""
        return cls(
            format=model.format, content=model.content, digest=model.digest, adapter=model.adapter, seconds=seconds
        )

    def model(self, name: str) -> Model:
        """Return the model again."""
        return Model.from_bytes(self.format, self.content, name=name, adapter=self.adapter)


class Kind(StrEnum):
    """What is kept under a key, by its file name suffix."""

    FACTS = "json"
    """All of a ``Stored`` but its bytes."""
    MODEL = "model"
    """The bytes of a ``Stored``."""
    STATISTICS = "statistics"
    """What the inner tensors of a model looked like over calibration rows."""
    UNFINISHED = "unfinished"
    """The same over the first of those rows, for whoever goes on."""


class Store(Protocol):
    """Where results are kept; several processes and threads may share one."""

    @abstractmethod
    def read(self, key: Digest, kind: Kind) -> bytes | None:
        """Return the bytes kept under the key; None where nothing is. They may be damaged."""

    @abstractmethod
    def write(self, key: Digest, kind: Kind, content: bytes) -> None:
        """Keep the bytes under the key, whole or not at all; those before are gone.

        Raises:
            OptimizerError: there is no room, or no permission.
        """

    @abstractmethod
    def drop(self, key: Digest, kind: Kind) -> None:
        """Keep nothing of that kind under the key."""

    @abstractmethod
    def making(self, key: Digest) -> AbstractContextManager[None]:
        """Hold the key inside the block: whoever else would make the same waits, and then finds it.

        A holder that is killed lets go of it. Never hold a key twice.

        Raises:
            OptimizerError: no permission.
        """

    @abstractmethod
    def enter(self, key: Digest, what: str) -> None:
        """Append to the ledger that the result of the key was made.

        Raises:
            OptimizerError: there is no room, or no permission.
        """

    @property
    @abstractmethod
    def ledger(self) -> tuple[Entry, ...]:
        """Every result ever made for this store, in order."""

    def get(self, key: Digest) -> Stored | None:
        """Return the result kept under the key; None where none is, or it is damaged or another key's."""
        facts, content = self.read(key, Kind.FACTS), self.read(key, Kind.MODEL)
        if facts is None or content is None:
            return None
        try:
            plain = json.loads(facts)
            is_of_key = plain["key"] == key
            stored = from_plain(Stored, {**plain, "content": content})
        except (ValueError, DecodeError, TypeError, KeyError, RecursionError):
            return None
        return stored if is_of_key and digest_of(stored.content) == stored.digest else None

    def put(self, key: Digest, stored: Stored, *, what: str = "") -> None:
        """Keep the result under the key and enter it, with ``what`` it is, into the ledger.

        Raises:
            OptimizerError: there is no room, or no permission.
        """
        plain = to_plain(stored)
        if not isinstance(plain, dict):
            raise TypeError("a stored result is a map")
        plain.pop("content")
        plain["key"] = key
        self.write(key, Kind.MODEL, stored.content)
        self.write(key, Kind.FACTS, json.dumps(plain, sort_keys=True).encode())
        self.enter(key, what)


class MemoryStore(Store):
    """A store that lasts as long as the process."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Digest, Kind], bytes] = {}
        self._ledger: list[Entry] = []

    def read(self, key: Digest, kind: Kind) -> bytes | None:
        """Return the bytes kept under the key."""
        return self._kept.get((key, kind))

    def write(self, key: Digest, kind: Kind, content: bytes) -> None:
        """Keep the bytes under the key."""
        self._kept[key, kind] = content

    def drop(self, key: Digest, kind: Kind) -> None:
        """Keep nothing of that kind under the key."""
        self._kept.pop((key, kind), None)

    def making(self, key: Digest) -> AbstractContextManager[None]:
        """Hold nothing: two threads that make the same do no harm."""
        del key
        return contextlib.nullcontext()

    def enter(self, key: Digest, what: str) -> None:
        """Append to the ledger."""
        self._ledger.append(Entry(key=key, what=what))

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """Every result made for this store."""
        return tuple(self._ledger)


class FolderStore(Store):
    """A store in a folder: files by key, written whole or not at all, and ``ledger.jsonl``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: Digest, kind: Kind) -> bytes | None:
        """Return the bytes kept under the key; None where the file is missing or unreadable."""
        try:
            return self._path(key, kind).read_bytes()
        except OSError:
            return None

    def write(self, key: Digest, kind: Kind, content: bytes) -> None:
        """Keep the bytes under the key.

        Raises:
            OptimizerError: the folder cannot be written.
        """
        path = self._path(key, kind)
        with self._writable():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, content)

    def drop(self, key: Digest, kind: Kind) -> None:
        """Keep nothing of that kind under the key.

        Raises:
            OptimizerError: the folder cannot be written.
        """
        with self._writable():
            self._path(key, kind).unlink(missing_ok=True)

    @contextlib.contextmanager
    def making(self, key: Digest) -> Iterator[None]:
        """Hold the key's lock file; the system lets go of it when its holder ends, however it ends.

        Raises:
            OptimizerError: the folder cannot be written.
        """
        path = self._folder / key[:2] / f"{key}.lock"
        with self._writable():
            path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(path, error=OptimizerError):
            yield

    def enter(self, key: Digest, what: str) -> None:
        """Append to the ledger.

        Raises:
            OptimizerError: the folder cannot be written.
        """
        with self._writable():
            self._folder.mkdir(parents=True, exist_ok=True)
            append_entry(self._folder / LEDGER, Entry(key=key, what=what))

    @property
    def ledger(self) -> tuple[Entry, ...]:
        """Every result made for this folder, by any process."""
        return read_entries(self._folder / LEDGER)

    def _path(self, key: Digest, kind: Kind) -> Path:
        return self._folder / key[:2] / f"{key}.{kind}"

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OptimizerError(
                f"cannot write the store {self._folder}: {error.strerror}; free some room or give another --store"
            ) from error


def store_key(source: Model, step: Pass, *, fingerprint: str, tools: Mapping[str, str]) -> Digest:
    """Return the key of the pass's result on the model.

    Args:
        source: the model that goes in.
        step: the pass, its version and parameters.
        fingerprint: of the calibration rows that it gets; empty where it gets none.
        tools: distribution to version, of everything that the bytes depend on.
    """
    told = {
        "source": source.digest,
        "adapter": [to_plain(item) for item in source.adapter],
        "pass": step.name,
        "version": step.version,
        "parameters": step.parameters(),
        "calibration": fingerprint,
        "tools": dict(tools),
    }
    return digest_of(json.dumps(told, sort_keys=True).encode())


def reread(stored: Stored, name: str) -> Model | None:
    """Return the stored model; None where its bytes are no longer read (a newer library)."""
    try:
        return stored.model(name)
    except ModelError:
        return None
