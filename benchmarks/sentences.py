"""English sentences that need no download, from the docstrings of installed packages, and their WordPiece numbers."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

PACKAGES = ("scipy", "sklearn")
LENGTH = 64
"""Numbers in a row: what a sentence does not fill is padding."""
_SHORTEST, _LONGEST = 6, 40
_PLAIN = re.compile(r"[A-Z][A-Za-z0-9 ,;'\-()]+\.")


def sentences() -> list[str]:
    """Return every plain sentence of 6 to 40 words in the docstrings of the packages, once, in alphabetical order."""
    return sorted({found for package in PACKAGES for text in _docstrings(package) for found in _sentences(text)})


def draw(*, seed: int, counts: Sequence[int]) -> list[list[str]]:
    """Return disjoint lists of so many sentences, drawn from all of them by the seed."""
    known = sentences()
    order = np.random.default_rng(seed).permutation(len(known))
    ends = np.cumsum(counts)
    if ends[-1] > len(known):
        raise SystemExit(f"{ends[-1]} sentences are wanted and {', '.join(PACKAGES)} hold {len(known)}; ask for fewer")
    return [[known[at] for at in order[end - count : end]] for end, count in zip(ends, counts, strict=True)]


def numbered(texts: Sequence[str], vocabulary: Path) -> dict[str, NDArray[np.int64]]:
    """Return ``input_ids`` and ``attention_mask``, int64, shape (texts, LENGTH), as an uncased BERT takes them."""
    words = {line: number for number, line in enumerate(vocabulary.read_text(encoding="utf-8").split("\n"))}
    ids = np.zeros((len(texts), LENGTH), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(texts):
        pieces = [
            piece for word in re.findall(r"[a-z0-9]+|[^\sa-z0-9]", text.lower()) for piece in _pieces(word, words)
        ]
        numbers = [words["[CLS]"], *pieces[: LENGTH - 2], words["[SEP]"]]
        ids[row, : len(numbers)] = numbers
        mask[row, : len(numbers)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def _pieces(word: str, words: dict[str, int]) -> list[int]:
    """Return the numbers of the longest pieces that make up the word, from the left."""
    found: list[int] = []
    start = 0
    while start < len(word):
        before = "##" if start else ""
        end = next((end for end in range(len(word), start, -1) if before + word[start:end] in words), None)
        if end is None:
            return [words["[UNK]"]]
        found.append(words[before + word[start:end]])
        start = end
    return found


def _docstrings(package: str) -> Iterator[str]:
    """Yield the docstrings of a package, its tests left out; the package is read, not imported."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(
            f"the sentences are docstrings of {package}, which is not installed: pip install 'edgeship[all]'"
        )
    root = Path(found.submodule_search_locations[0])
    for path in sorted(root.rglob("*.py")):
        if "tests" not in path.relative_to(root).parts:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            holders = (ast.Module, ast.ClassDef, ast.FunctionDef)
            yield from filter(None, (ast.get_docstring(each) for each in ast.walk(tree) if isinstance(each, holders)))


def _sentences(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text):
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(paragraph.split())):
            if _SHORTEST <= len(sentence.split()) <= _LONGEST and _PLAIN.fullmatch(sentence):
                yield sentence
