"""Killed at any write, a repository verifies or names the next action, and the same command takes the rest."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from contracts.ids import ModelName, ReleaseId
from signing.ceremony.changes import change_keys, delegate, revoke_release
from signing.ceremony.gathering import settle
from signing.ceremony.merging import merge
from signing.errors import NothingDrafted, NothingSigned, SigningError, WrongKey
from signing.repository import Repository
from tests.signing.ceremony.people import Circle, a_circle, a_person, draft
from tests.signing.repositories import NOW, a_workshop, an_artifact

WRITES = ("os.rename", "os.remove", "os.mkdir", "os.link")


class PowerCut(BaseException):
    """The machine stops here; no handler of the product's runs."""


@dataclass(kw_only=True)
class _Fuse:
    folder: str = ""
    left: int = -1


_FUSE = _Fuse()


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    """Stop the machine before the write that the fuse allows no more; an audit hook stays for good, so it is off by default."""
    if _FUSE.left >= 0 and event in WRITES and str(arguments[0]).startswith(_FUSE.folder):
        _FUSE.left -= 1
        if _FUSE.left < 0:
            raise PowerCut


sys.addaudithook(_watch)


@contextmanager
def power_cut_before(write: int, folder: Path) -> Iterator[None]:
    """Stop the machine before that write into the folder (0: the first)."""
    _FUSE.folder, _FUSE.left = str(folder), write
    try:
        yield
    finally:
        _FUSE.left = -1


def rotate(circle: Circle) -> None:
    """Replace a key of root and one of targets, and sign a release with it."""
    newcomer = a_person("Dora")
    change_keys(circle.repository, "root", add=[newcomer.public("root")], remove=["Cara"], now=NOW)
    change_keys(circle.repository, "targets", add=[newcomer.public("targets")], remove=["Ben"], now=NOW)
    circle.ana.signs(circle.repository)


def revoke(circle: Circle) -> None:
    """Take a release back."""
    revoke_release(circle.repository, ReleaseId("digits@1.0.0"), and_older=True, now=NOW)
    circle.ana.signs(circle.repository)


def release(circle: Circle) -> None:
    """Draft one more release, signed by one of two."""
    draft(circle.repository, an_artifact(version="2.0.0", counter=2))
    circle.ana.signs(circle.repository)


def hand_over(circle: Circle) -> None:
    """Let a team have the model."""
    keys = [a_person("Emil", "vision").public("vision")]
    delegate(circle.repository, "vision", models=[ModelName("digits")], keys=keys, threshold=1, now=NOW)
    circle.ana.signs(circle.repository)


def state_of(repository: Repository) -> str:
    """Return whether the repository verifies, or the next action that it names."""
    try:
        repository.verify(NOW)
    except NothingSigned as error:
        return str(error)
    return "verified"


def killed_everywhere(circle: Circle, act: Callable[[Repository], None], folder: Path) -> list[str]:
    """Return what ``release verify`` says after a power cut before each write of the act, and after doing it again."""
    said = []
    for write in range(200):
        copy = circle.copy(folder / f"cut-{write}")
        try:
            with power_cut_before(write, copy.folder):
                act(copy)
        except PowerCut:
            said.append(state_of(copy))
            try:
                act(copy)
            except (NothingDrafted, WrongKey) as error:
                said.append(f"done already: {error}")
            said.append(state_of(copy))
            continue
        return said
    raise AssertionError("the act never came to its end")


def other_signs(circle: Circle) -> Callable[[Repository], None]:
    return circle.ben.signs


@pytest.mark.slow
@pytest.mark.parametrize("before", [rotate, revoke, release, hand_over])
def test_killed_while_the_last_signature_puts_it_into_force(before: Callable[[Circle], None], tmp_path: Path) -> None:
    circle = a_circle(tmp_path / "repository")
    draft(circle.repository, an_artifact())
    circle.both_sign()
    before(circle)

    said = killed_everywhere(circle, other_signs(circle), tmp_path)

    assert len(said) > 4
    assert all(line == "verified" or "edgeship release sign" in line or "done already" in line for line in said)


@pytest.mark.slow
def test_killed_while_a_copy_is_brought_in(tmp_path: Path) -> None:
    circle = a_circle(tmp_path / "repository")
    draft(circle.repository, an_artifact())
    circle.both_sign()
    theirs = circle.copy(tmp_path / "theirs")
    for sign in (circle.ana.signs, circle.ben.signs):
        draft(theirs, an_artifact(version="2.0.0", counter=2))
        sign(theirs)

    said = killed_everywhere(circle, lambda repository: _merge(repository, theirs), tmp_path)

    assert len(said) > 4
    assert set(said) == {"verified"}


@pytest.mark.slow
def test_killed_while_it_is_founded_it_is_founded_again_or_there(tmp_path: Path) -> None:
    outcomes = [founded(tmp_path / f"cut-{write}" / "repository", write) for write in range(18)]

    assert set(outcomes) == {"founded again", "there"}


def founded(folder: Path, write: int) -> str:
    """Found a repository with a power cut before that write; return how it comes to verify."""
    folder.parent.mkdir()
    with contextlib.suppress(PowerCut), power_cut_before(write, folder.parent):
        a_workshop(folder.parent)
    there = Repository(folder=folder).exists()
    if not there:
        shutil.rmtree(folder.parent / "keys", ignore_errors=True)
        a_workshop(folder.parent)
    repository = Repository.open(folder)
    settle(repository)
    with pytest.raises(NothingSigned, match="nothing is signed"):
        repository.verify(NOW)
    return "there" if there else "founded again"


@pytest.mark.slow
def test_killed_while_an_artifact_is_drafted(tmp_path: Path) -> None:
    circle = a_circle(tmp_path / "repository")
    draft(circle.repository, an_artifact())
    circle.both_sign()

    said = killed_everywhere(
        circle, lambda repository: draft(repository, an_artifact(version="2.0.0", counter=2)), tmp_path
    )

    assert len(said) > 4
    assert set(said) == {"verified"}


def test_a_power_cut_is_no_error_that_the_product_handles() -> None:
    assert not issubclass(PowerCut, (SigningError, Exception))


def _merge(repository: Repository, theirs: Repository) -> None:
    merge(repository, theirs)
