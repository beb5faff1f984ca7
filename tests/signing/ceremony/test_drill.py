"""The drill tells what a loss would cost: by doing it, on a throw-away repository of the same shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.ids import ModelName
from signing.ceremony.changes import delegate
from signing.ceremony.drill import Finding, at_hand, drill
from tests.signing.ceremony.people import Circle, a_circle, a_person
from tests.signing.repositories import NOW, a_workshop


def found(findings: tuple[Finding, ...]) -> dict[tuple[str, str], Finding]:
    return {(one.role, one.what): one for one in findings}


@pytest.fixture
def circle(tmp_path: Path) -> Circle:
    circle = a_circle(tmp_path / "repository")
    keys = [a_person("Dora", "vision").public("vision")]
    delegate(circle.repository, "vision", models=[ModelName("welds")], keys=keys, threshold=1, now=NOW)
    circle.both_sign()
    return circle


@pytest.mark.slow
def test_two_of_three_survives_any_single_loss(circle: Circle) -> None:
    before = sorted(str(path) for path in circle.repository.folder.rglob("*"))

    findings = drill(circle.repository, now=NOW)

    by_case = found(findings)
    assert [one for one in findings if one.fatal] == []
    assert by_case["root", "one key lost"].sentence.startswith("2 of 3: the others put a new key in its place")
    assert by_case["targets", "one key lost"].works
    assert by_case["vision", "one key stolen and revoked"].works
    assert by_case["all", "everything expired"].works
    assert sorted(str(path) for path in circle.repository.folder.rglob("*")) == before


@pytest.mark.slow
def test_a_team_of_one_key_stops_until_targets_names_another(circle: Circle) -> None:
    finding = found(drill(circle.repository, now=NOW))["vision", "one key lost"]

    assert (finding.works, finding.fatal) == (False, False)
    assert "no release until targets names another key" in finding.sentence


@pytest.mark.slow
def test_three_of_three_ends_with_the_first_loss(tmp_path: Path) -> None:
    circle = a_circle(tmp_path / "repository", threshold=3)
    circle.cara.signs(circle.repository)

    findings = found(drill(circle.repository, now=NOW))

    assert findings["root", "one key lost"].fatal
    assert findings["director-root", "one key lost"].fatal
    assert "losing one key ends this repository" in findings["root", "one key lost"].sentence
    assert findings["root", "one key stolen"].works


@pytest.mark.slow
def test_one_of_one_is_fatal_when_lost_and_when_stolen(tmp_path: Path) -> None:
    workshop = a_workshop(tmp_path)

    findings = found(drill(workshop.repository, now=NOW))

    assert findings["root", "one key lost"].fatal
    assert not findings["root", "one key stolen"].works
    assert findings["online", "key stolen"].works


def test_keys_at_hand_are_counted_against_the_threshold(circle: Circle) -> None:
    findings = found(at_hand(circle.repository, set(circle.ana.by_keyid)))

    assert not findings["root", "keys at hand"].works
    assert findings["root", "keys at hand"].sentence.startswith("1 of 3 keys open here, 2 must sign: 1 more of Ben")
