"""Functions that a user names: found, called, and one line about whatever goes wrong in them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from optimizer.errors import DatasetError, ModelError
from optimizer.user_function import call_user, is_function, user_function


def _module(folder: Path, text: str, name: str = "of_mine.py") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("where", ["nets:build", "pack.nets:build", "nets.py:build", "../a b/nets.py:build"])
def test_a_function_is_told_by_its_spelling(where: str) -> None:
    assert is_function(where)


@pytest.mark.parametrize("where", ["model.onnx", "nets", "nets.py", "nets:", ":build", "C:\\models\\net.onnx", "a:b:c"])
def test_anything_else_is_a_path(where: str) -> None:
    assert not is_function(where)


def test_a_file_of_that_very_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nets:build").touch()
    monkeypatch.chdir(tmp_path)

    assert not is_function("nets:build")


def test_a_function_of_a_file_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    _module(tmp_path, "def three() -> int:\n    return 3\n", "beside_of_mine.py")
    path = _module(tmp_path, "import beside_of_mine\n\ndef six():\n    return 2 * beside_of_mine.three()\n")

    assert call_user(user_function(f"{path}:six", error=ModelError), error=ModelError) == 6
    assert str(tmp_path) not in sys.path


def test_a_module_is_looked_for_in_the_present_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _module(tmp_path, "def seven():\n    return 7\n", "present_of_mine.py")
    monkeypatch.chdir(tmp_path)

    assert call_user(user_function("present_of_mine:seven", error=ModelError), error=ModelError) == 7


@pytest.mark.parametrize(
    ("where", "line"),
    [
        ("no_such_module_of_mine:build", "importing no_such_module_of_mine failed: ModuleNotFoundError"),
        ("/no/such/nets.py:build", "there is no file /no/such/nets.py"),
        ("json:dunps", "json has no function 'dunps'; it has dumps"),
        ("build", "names no function; write module:function"),
    ],
)
def test_what_is_not_there_is_one_line_of_the_callers_kind(where: str, line: str) -> None:
    with pytest.raises(DatasetError, match=line):
        user_function(where, error=DatasetError)


def test_a_file_that_fails_to_import_says_where(tmp_path: Path) -> None:
    path = _module(tmp_path, "x = 1\ny = 1 / 0\n")

    with pytest.raises(ModelError, match=r"ZeroDivisionError: division by zero \(of_mine\.py, line 2\)"):
        user_function(f"{path}:build", error=ModelError)


def test_a_function_that_raises_says_what_and_where(tmp_path: Path) -> None:
    path = _module(tmp_path, "def build(size):\n    raise KeyError(f'{size}\\nlines')\n")
    function = user_function(f"{path}:build", error=ModelError)

    with pytest.raises(ModelError, match=r"build\(\) failed: KeyError: .* \(of_mine\.py, line 2\)"):
        call_user(function, 4, error=ModelError)


def test_our_own_errors_pass_as_they_are(tmp_path: Path) -> None:
    text = "from optimizer.errors import ModelError\n\ndef build():\n    raise ModelError('as it is')\n"
    path = _module(tmp_path, text)

    with pytest.raises(ModelError, match=r"^as it is$"):
        call_user(user_function(f"{path}:build", error=ModelError), error=ModelError)


def test_a_function_that_ends_the_program_is_one_line_too(tmp_path: Path) -> None:
    path = _module(tmp_path, "def build():\n    raise SystemExit(0)\n", "ending_of_mine.py")

    with pytest.raises(ModelError, match=r"build\(\) failed: SystemExit: 0 \(ending_of_mine.py, line 2\)"):
        call_user(user_function(f"{path}:build", error=ModelError), error=ModelError)
