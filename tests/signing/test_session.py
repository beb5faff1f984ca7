"""Which server and which token: a token is shown to its own server only."""

from __future__ import annotations

from pathlib import Path

import pytest

from signing.errors import NotLoggedIn
from signing.session import Session, find_session, session_path, write_session

STORED = Session(server="http://fleet:8000", token="stored-token")


def test_what_login_stored_is_used(tmp_path: Path) -> None:
    write_session(STORED, tmp_path)

    found = find_session(server=None, token_file=None, home=tmp_path)

    assert found == STORED


def test_the_session_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = write_session(STORED, tmp_path)
    again = write_session(STORED, tmp_path)

    assert path == again == session_path(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_stored_token_is_never_shown_to_another_server(tmp_path: Path) -> None:
    write_session(STORED, tmp_path)

    with pytest.raises(NotLoggedIn, match="no token for http://other:8000"):
        find_session(server="http://other:8000", token_file=None, home=tmp_path)


def test_a_token_file_goes_before_what_is_stored(tmp_path: Path) -> None:
    write_session(STORED, tmp_path)
    (tmp_path / "token").write_text("given\n")

    found = find_session(server=None, token_file=tmp_path / "token", home=tmp_path)

    assert (found.server, found.token) == ("http://fleet:8000", "given")


def test_without_a_server_the_next_step_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotLoggedIn, match="edgeship fleet login"):
        find_session(server=None, token_file=None, home=tmp_path)


@pytest.mark.parametrize("text", ["", "two words", "line\nline"])
def test_a_file_that_holds_no_token_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(text)

    with pytest.raises(NotLoggedIn, match="holds no token"):
        find_session(server="http://fleet", token_file=tmp_path / "token", home=tmp_path)


def test_a_damaged_session_file_is_one_line_with_the_next_step(tmp_path: Path) -> None:
    session_path(tmp_path).parent.mkdir(parents=True)
    session_path(tmp_path).write_text("{")

    with pytest.raises(NotLoggedIn, match="delete it"):
        find_session(server=None, token_file=None, home=tmp_path)


def test_a_token_is_not_part_of_what_a_session_prints() -> None:
    assert "stored-token" not in repr(STORED)
