"""The tree keeps its shape: sizes, names, types, words, and documents that match the code.

The bands: a file has at most 400 lines; a function at most 45, its docstring apart; a folder at most 15 modules,
``__init__``, ``errors``, ``cli*`` and subpackages apart. What does not hold them is in ``exceptions.txt``, with its reason.
"""

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
SYNONYMS = re.compile(r"(?<![a-z])(deploy|deployment|campaign|job|node|payload)s?(?![a-z])")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
WRITTEN = sorted(
    path
    for package in PACKAGES
    for kind in ("py", "html", "toml", "md")
    for path in (ROOT / package).rglob(f"*.{kind}")
)
GLOSSARY = re.findall(
    r"^\| ([A-Z][a-z ]+) \|", (ROOT / "contracts/GLOSSARY.md").read_text(encoding="utf-8"), re.MULTILINE
)
MOST_LINES = 400
MOST_FUNCTION_LINES = 45
MOST_ARGUMENTS = 8
MOST_MODULES = 15
MOST_EXCEPTIONS = 12


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return every function of the file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the function's lines without its docstring; decorators do not count."""
    first = function.body[0]
    docstring = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(function) is not None else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def exceptions(kind: str) -> set[str]:
    """Return the places that ``exceptions.txt`` lists under that kind."""
    return {place for listed, place, reason in exception_lines() if listed == kind and reason}


def exception_lines() -> list[list[str]]:
    """Return the lines of ``exceptions.txt``: kind, place, reason."""
    text = (ROOT / "tests/architecture/exceptions.txt").read_text(encoding="utf-8")
    return [line.split(maxsplit=2) for line in text.splitlines() if not line.startswith("#")]


def folders() -> list[Path]:
    """Return every package and subpackage of ours."""
    return sorted({path.parent for path in SOURCES})


def modules(folder: Path) -> list[str]:
    """Return the modules that count in a folder: all but ``__init__``, ``errors`` and ``cli*``."""
    stems = [path.stem for path in folder.glob("*.py")]
    return [stem for stem in stems if stem not in ("__init__", "errors") and not re.match(r"cli(_|$)", stem)]


def synonyms(text: str) -> set[str]:
    """Return the banned synonyms in the text, also as parts of snake_case and CamelCase names."""
    return set(SYNONYMS.findall(CAMEL.sub(" ", text).lower()))


def covers(entry: str, place: str) -> bool:
    """Return whether a ``PATH:word`` of the list covers one of the tree; a path that ends in a slash is a folder."""
    (path, word), (found, found_word) = entry.split(":"), place.split(":")
    return word == found_word and (found.startswith(path) if path.endswith("/") else found == path)


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
    too_long = [f.name for f in functions(path) if length(f) > MOST_FUNCTION_LINES]
    untyped = [f.name for f in functions(path) if f.returns is None]
    greedy = [f.name for f in functions(path) if len(f.args.args) + len(f.args.kwonlyargs) > MOST_ARGUMENTS]

    assert (too_long, untyped, greedy) == ([], [], [])


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_no_class_is_named_vaguely(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    classes = [node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]

    assert not [name for name in classes if VAGUE_CLASS.search(name)]


def test_no_synonym_stands_for_a_word_of_the_glossary() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{word}" for path in WRITTEN for word in synonyms(path.read_text(encoding="utf-8"))
    }

    listed = exceptions("word")
    assert {place for place in found if not any(covers(entry, place) for entry in listed)} == set()
    assert {entry for entry in listed if not any(covers(entry, place) for place in found)} == set()


@pytest.mark.parametrize(
    "text", ["deploy(release)", "class JobQueue:", "node_id = 1", "latestPayload", '"campaigns"', "the Deployment of"]
)
def test_a_synonym_is_found_in_names_and_sentences(text: str) -> None:
    assert len(synonyms(text)) == 1


def test_a_word_that_only_holds_a_synonym_is_none() -> None:
    assert synonyms("nodejs anode jobbing redeployable") == set()


@pytest.mark.parametrize("word", GLOSSARY)
def test_a_word_of_the_glossary_is_used_where_our_code_speaks(word: str) -> None:
    name = re.compile(rf"(?<![a-z]){word.lower().replace(' ', '[ _]')}", re.IGNORECASE)

    assert [path for path in SOURCES if name.search(CAMEL.sub(" ", path.read_text(encoding="utf-8")))]


def test_every_broad_except_is_a_listed_supervised_boundary() -> None:
    listed = {
        line.split()[0]
        for line in (ROOT / "tests/architecture/broad_excepts.txt").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    }

    found = {place for path in SOURCES for place in broad_excepts(path)}

    assert found == listed


def test_a_folder_holds_few_modules() -> None:
    crowded = {
        f"{folder.relative_to(ROOT)}:{len(modules(folder))}"
        for folder in folders()
        if len(modules(folder)) > MOST_MODULES
    }

    assert crowded == exceptions("modules")


def test_the_tests_mirror_the_packages_and_their_subpackages() -> None:
    places = [str(folder.relative_to(ROOT)) for folder in folders()]

    untested = {place for place in places if not list((ROOT / "tests" / place).glob("test_*.py"))}

    assert untested == exceptions("tests")


def test_the_list_of_exceptions_only_shrinks_and_gives_reasons() -> None:
    lines = exception_lines()

    assert len(lines) <= MOST_EXCEPTIONS
    assert {len(line) for line in lines} == {3}
    assert {line[0] for line in lines} == {"modules", "tests", "word"}


def test_every_code_of_an_error_is_one_word() -> None:
    codes = [code for path in SOURCES for code in error_codes(path)]

    assert len(codes) > 20
    assert [code for code in codes if not re.fullmatch(r"([a-z][a-z0-9_]*)?", code)] == []


@pytest.mark.parametrize("place", sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("optimizer/**/__init__.py")))
def test_a_packages_story_names_each_of_its_modules(place: str) -> None:
    init = ROOT / place
    told = set(re.findall(r"``(\w+)/?``", ast.get_docstring(ast.parse(init.read_text(encoding="utf-8"))) or ""))

    modules = {path.stem for path in init.parent.glob("*.py")} - {"__init__", "__main__"}
    packages = {path.parent.name for path in init.parent.glob("*/__init__.py")}

    assert modules | packages <= told
