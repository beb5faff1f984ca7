"""The server's own keys: one signs the model repository's snapshot and timestamp, one is the director's.

``edgeship server init`` makes both (DATA/online.pem, DATA/director.pem, mode 0600); the public halves
(online.pub.json, director.pub.json) go to the release engineers, whose offline roots name them. With the
first the server can say which signed targets are the newest, with the second which released model a device
should run; neither can release anything.

A key that may be known to others is replaced without a pause: ``edgeship server new-key`` lays the next one beside it
(director-2.pem), the offline root is signed anew with it, and the server signs with whichever of its keys the newest
root names.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from contracts.codec import to_plain
from contracts.metadata import RepositoryName
from fleet_server.errors import ConfigError, DataDirUnusable
from signing.durable_file import create_private
from signing.keys import PublicKey

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from securesystemslib.signer import CryptoSigner


class KeyName(StrEnum):
    """What a key of the server's is for."""

    ONLINE = "online"
    """Signs snapshot and timestamp of the model repository."""
    DIRECTOR = "director"
    """Signs what each device should run, and the time."""


@dataclass(frozen=True, slots=True)
class ServerKey:
    """One key of the server's."""

    signer: CryptoSigner

    @property
    def public(self) -> PublicKey:
        """The public half, as it is handed to the release engineers."""
        key = self.signer.public_key
        return PublicKey(keyid=key.keyid, keytype=key.keytype, scheme=key.scheme, public=str(key.keyval["public"]))


class KeyRing:
    """All keys of one name, oldest first; one that is made while the server runs is found when it is needed."""

    def __init__(self, data_dir: Path, name: KeyName) -> None:
        """Load the keys.

        Raises:
            ConfigError: no key there, or a file that is none.
        """
        self._data_dir = data_dir
        self._name = name
        self._keys = self._load()

    @property
    def public(self) -> PublicKey:
        """The public half of the newest key: what the next root is to name."""
        return list(self._keys.values())[-1].public

    @property
    def keyids(self) -> frozenset[str]:
        """The ids of all the keys, also of those made since."""
        self._keys = self._load()
        return frozenset(self._keys)

    def signer(self, keyids: Collection[str]) -> CryptoSigner:
        """Return the signer whose key is among those that a root names.

        Raises:
            ConfigError: none of them is here.
        """
        for keyid in keyids:
            if keyid in self._keys or keyid in self.keyids:
                return self._keys[keyid].signer
        raise ConfigError(
            f"the trusted root names {self._name} key {', '.join(keyid[:16] for keyid in keyids)}, which is not in "
            f"{self._data_dir}; restore {self._name}.pem from your backup"
        )

    def _load(self) -> dict[str, ServerKey]:
        keys = [load_key(path) for path in _private_files(self._data_dir, self._name)]
        return {key.public.keyid: key for key in keys}


def open_rings(data_dir: Path) -> Mapping[RepositoryName, KeyRing]:
    """Return the server's keys for each repository.

    Raises:
        ConfigError: there is no server in the folder, or a file that is no key.
    """
    return {
        RepositoryName.MODELS: KeyRing(data_dir, KeyName.ONLINE),
        RepositoryName.DIRECTOR: KeyRing(data_dir, KeyName.DIRECTOR),
    }


def private_file(data_dir: Path, name: KeyName) -> Path:
    """Return where the first key of that name lies."""
    return data_dir / f"{name}.pem"


def create_key(data_dir: Path, name: KeyName) -> ServerKey:
    """Make the first key of that name, write both halves, and return it.

    Raises:
        DataDirUnusable: there is one already, or the folder cannot be written.
    """
    return _create(private_file(data_dir, name))


def add_key(data_dir: Path, name: KeyName) -> tuple[ServerKey, Path]:
    """Make the next key of that name beside the others, and return it with its public half's file.

    Raises:
        ConfigError: there is no first one.
        DataDirUnusable: the folder cannot be written.
    """
    path = data_dir / f"{name}-{_number(_private_files(data_dir, name)[-1], name) + 1}.pem"
    return _create(path), path.with_suffix(".pub.json")


def remove_key(data_dir: Path, name: KeyName) -> None:
    """Take back a key that no release repository has seen yet: a server that could not be made to the end."""
    _remove(private_file(data_dir, name))


def load_key(path: Path) -> ServerKey:
    """Return the key in the file.

    Raises:
        ConfigError: there is none.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from securesystemslib.signer import CryptoSigner

    try:
        private = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} is no readable key; restore it from your backup") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise ConfigError(f"{path} is no ed25519 key; restore it from your backup")
    return ServerKey(CryptoSigner(private))


def _private_files(data_dir: Path, name: KeyName) -> list[Path]:
    """Return the key's files, oldest first."""
    first = private_file(data_dir, name)
    if not first.exists():
        if name is KeyName.DIRECTOR and private_file(data_dir, KeyName.ONLINE).exists():
            raise ConfigError(
                f"no director key in {data_dir}; make it with 'edgeship server migrate --data {data_dir}'"
            )
        raise ConfigError(f"no server in {data_dir}; make one with 'edgeship server init --data {data_dir}'")
    later = [path for path in data_dir.glob(f"{name}-*.pem") if path.stem.removeprefix(f"{name}-").isdecimal()]
    return [first, *sorted(later, key=lambda path: _number(path, name))]


def _number(path: Path, name: KeyName) -> int:
    """Return which key of that name lies there, counted from 1."""
    return 1 if path.stem == name else int(path.stem.removeprefix(f"{name}-"))


def _create(path: Path) -> ServerKey:
    from securesystemslib.signer import CryptoSigner

    key = ServerKey(CryptoSigner.generate_ed25519())
    try:
        create_private(path, key.signer.private_bytes)
    except FileExistsError as error:
        raise DataDirUnusable(f"{path} exists: this server has its key; use another --data folder") from error
    except OSError as error:
        raise DataDirUnusable(
            f"cannot write {path}: {error.strerror}; free some room, or choose another --data folder"
        ) from error
    try:
        public = json.dumps(to_plain(key.public), indent=2) + "\n"
        path.with_suffix(".pub.json").write_text(public, encoding="utf-8")
    except OSError as error:
        _remove(path)
        raise DataDirUnusable(f"cannot write {path}: {error.strerror}; free some room and run it again") from error
    return key


def _remove(path: Path) -> None:
    path.with_suffix(".pub.json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
