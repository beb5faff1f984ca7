"""What anything in an artifact may be called: names come from strangers, and end up in paths, topics and on terminals.

A member is called one of a closed set of words [artifact-4.1], so that no name of a stranger is ever a path. Tensors
keep the names of their model, which are text to show and to compare, never to open [artifact-4.2].

>>> golden_name(Side.INPUT, 0)
'golden/input/0'
"""

from __future__ import annotations

import unicodedata
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

MODEL: Final = "model"
TENSOR_NAME_LIMIT_BYTES: Final = 255
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
"""Unicode categories that a person does not see, or that turn the text around them."""


class Side(StrEnum):
    """Which way a recorded tensor goes."""

    INPUT = "input"
    OUTPUT = "output"


class Document(StrEnum):
    """A text for people and programs that no device needs for serving; JSON, each a member of this name."""

    CARD = "card"
    BILL = "bom"
    API = "api"


def golden_name(side: Side, place: int) -> str:
    """Return the name of the member that holds the recorded rows of the tensor at that place in the manifest."""
    return f"golden/{side}/{place}"


def check_tensor_names(what: str, names: Iterable[str]) -> None:
    """Let names pass that are short, visible, composed text, each once.

    Raises:
        ValueError: one is not; the message shows it escaped.
    """
    seen: set[str] = set()
    for name in names:
        length = len(name.encode("utf-8", "surrogatepass"))
        if not 1 <= length <= TENSOR_NAME_LIMIT_BYTES:
            raise ValueError(
                f"{what} {name[:40]!a} has {length} bytes, allowed are 1 to {TENSOR_NAME_LIMIT_BYTES}; rename it"
            )
        if any(unicodedata.category(one) in _INVISIBLE for one in name):
            raise ValueError(f"{what} {name!a} holds characters that nobody sees; rename it in the model")
        if unicodedata.normalize("NFC", name) != name:
            raise ValueError(f"{what} {name!a} is not composed (NFC), so it can be spelt twice; rename it")
        if name in seen:
            raise ValueError(f"{what} {name!a} is there twice; give each its own name")
        seen.add(name)
