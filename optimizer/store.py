"""Results of passes, kept by content: the same step on the same input is done once.

The key is the digest of the input, the pass with its version and parameters, the calibration's
fingerprint and the versions of the tools. Only results are stored: a failure is tried again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from contracts.codec import from_plain, to_plain
from contracts.errors import DecodeError
from contracts.ids import Digest, digest_of
from contracts.preprocessing import Step
from optimizer.errors import ModelError, OptimizerError
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


class Store(Protocol):
    """Where results of passes are kept."""

    def get(self, key: Digest) -> Stored | None:
        """Return what is kept under the key; None where nothing is, or it is damaged."""
        ...

    def put(self, key: Digest, stored: Stored) -> None:
        """Keep the result under the key."""
        ...


class MemoryStore:
    """A store that lasts as long as the process."""

    def __init__(self) -> None:
        self._results: dict[Digest, Stored] = {}

    def get(self, key: Digest) -> Stored | None:
        """Return what is kept under the key."""
        return self._results.get(key)

    def put(self, key: Digest, stored: Stored) -> None:
        """Keep the result under the key."""
        self._results[key] = stored


class FolderStore:
    """A store in a folder: one file of facts and one of bytes for each key, written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: Digest) -> Stored | None:
        """Return what is kept under the key; None where nothing is, or it is damaged."""
        facts, content = self._paths(key)
        try:
            plain = json.loads(facts.read_text(encoding="utf-8"))
            stored = from_plain(Stored, {**plain, "content": content.read_bytes()})
        except (OSError, ValueError, DecodeError, TypeError):
            return None
        return stored if digest_of(stored.content) == stored.digest else None

    def put(self, key: Digest, stored: Stored) -> None:
        """Keep the result under the key.

        Raises:
            OptimizerError: the folder cannot be written.
        """
        facts, content = self._paths(key)
        plain = to_plain(stored)
        if not isinstance(plain, dict):
            raise TypeError("a stored result is a map")
        plain.pop("content")
        try:
            facts.parent.mkdir(parents=True, exist_ok=True)
            write_whole(content, stored.content)
            write_whole(facts, json.dumps(plain, sort_keys=True).encode())
        except OSError as error:
            raise OptimizerError(
                f"cannot write the store {self._folder}: {error.strerror}; free some room or give another --store"
            ) from error

    def _paths(self, key: Digest) -> tuple[Path, Path]:
        folder = self._folder / key[:2]
        return folder / f"{key}.json", folder / f"{key}.model"


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
    return Digest(hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest())


def reread(stored: Stored, name: str) -> Model | None:
    """Return the stored model; None where its bytes are no longer read (a newer library)."""
    try:
        return stored.model(name)
    except ModelError:
        return None
