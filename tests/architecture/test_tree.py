"""The tree keeps its shape: sizes, names, types, words, and documents that match the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("contracts", "device_profiles", "edge_agent", "edgeship", "fleet_server", "optimizer", "signing")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in SOURCES]
VAGUE = re.compile(r"(^|_)(utils?|helpers?|misc|common|manager|base)\.py$")
VAGUE_CLASS = re.compile(r"(Manager|Helper|Handler|Util|Utils)$")
BANNED = re.compile(r"\b(deployments?|campaigns?)\b", re.IGNORECASE)
MOST_LINES = 600
MOST_FUNCTION_LINES = 60
MOST_ARGUMENTS = 8
MOST_MODULES = 15


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return every function of the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def is_broad(node: ast.AST) -> bool:
    """Return whether the node catches everything: a bare ``except``, or one of Exception."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    return node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException")


def broad_excepts(path: Path) -> list[str]:
    """Return ``file:function`` for each ``except Exception`` (or a bare one)."""
    holders = [function for function in functions(path) if any(is_broad(node) for node in ast.walk(function))]
    return [f"{path.relative_to(ROOT)}:{function.name}" for function in holders]


def error_codes(path: Path) -> list[str]:
    """Return the stable words of the error classes in the file."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    codes = [
        node.value for node in nodes if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "code"
    ]
    return [str(code.value) for code in codes if isinstance(code, ast.Constant)]


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_a_file_is_one_page_of_one_idea(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")

    assert lines <= MOST_LINES
    assert not VAGUE.search(path.name)


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_functions_are_short_typed_and_take_few_arguments(path: Path) -> None:
    too_long = [f.name for f in functions(path) if (f.end_lineno or f.lineno) - f.lineno + 1 > MOST_FUNCTION_LINES]
    untyped = [f.name for f in functions(path) if f.returns is None]
    greedy = [f.name for f in functions(path) if len(f.args.args) + len(f.args.kwonlyargs) > MOST_ARGUMENTS]

    assert (too_long, untyped, greedy) == ([], [], [])


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_the_glossary_is_kept(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    classes = [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]

    assert not [name for name in classes if VAGUE_CLASS.search(name)]
    assert not BANNED.findall(text)


def test_every_broad_except_is_a_listed_supervised_boundary() -> None:
    listed = {
        line.split()[0]
        for line in (ROOT / "tests/architecture/broad_excepts.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    }

    found = {place for path in SOURCES for place in broad_excepts(path)}

    assert found == listed


@pytest.mark.parametrize("package", PACKAGES)
def test_a_folder_holds_few_modules(package: str) -> None:
    folders = {path.parent for path in SOURCES if path.relative_to(ROOT).parts[0] == package}

    crowded = {
        str(folder.relative_to(ROOT)): len(list(folder.glob("*.py")))
        for folder in folders
        if len(list(folder.glob("*.py"))) > MOST_MODULES + 6
    }

    assert crowded == {}


def test_the_tests_mirror_the_packages() -> None:
    missing = [package for package in PACKAGES if not list((ROOT / "tests" / package).glob("test_*.py"))]

    assert missing == []


def test_every_code_of_an_error_is_one_word() -> None:
    codes = [code for path in SOURCES for code in error_codes(path)]

    assert len(codes) > 20
    assert [code for code in codes if not re.fullmatch(r"([a-z][a-z0-9_]*)?", code)] == []
