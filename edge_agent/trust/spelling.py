"""Signed metadata have one spelling, and are bounded before they are parsed [wire-9.1].

A signature covers what a file says, not its bytes: python-tuf parses first and spells anew what it verifies. So that
nothing hides in what is left out on the way (a key written twice, an odd number, another order, a byte at the end), a
file must be the spelling itself: JSON with sorted keys and no blanks, whole numbers below 2**53, at most
``DEPTH_LIMIT`` levels.
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

from contracts.metadata import DEPTH_LIMIT, NUMBER_LIMIT
from edge_agent.trust.errors import MetadataMalformed

_TOKENS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""Texts as a whole (also one without an end, so that no byte is looked at twice) and brackets."""


def check_spelling(data: bytes, what: str) -> None:
    """Return where the bytes are the one spelling of what they say.

    Raises:
        MetadataMalformed: nested too deeply, no JSON, a key twice, or another form.
    """
    if _is_deep(data):
        raise MetadataMalformed(f"{what} metadata are nested more than {DEPTH_LIMIT} deep; they were not parsed")
    try:
        plain = json.loads(data, parse_int=_whole, parse_float=_refuse, parse_constant=_refuse)
    except ValueError as error:
        raise MetadataMalformed(f"{what} metadata are no JSON of whole numbers ({error}); sign them again") from error
    if json.dumps(plain, sort_keys=True, separators=(",", ":")).encode() != data:
        raise MetadataMalformed(
            f"{what} metadata are not in their one spelling (a key twice, another order, blanks); "
            "publish the file as it was signed"
        )


def _is_deep(data: bytes) -> bool:
    level = 0
    for token in _TOKENS.finditer(data):
        character = token[0][:1]
        if character in b"[{":
            level += 1
            if level > DEPTH_LIMIT:
                return True
        elif character in b"]}":
            level -= 1
    return False


def _whole(text: str) -> int:
    if len(text) > len(str(-NUMBER_LIMIT)) or abs(int(text)) >= NUMBER_LIMIT:
        raise ValueError(f"a number of {len(text)} digits is not below 2**53")
    return int(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text[:20]} is no whole number")
