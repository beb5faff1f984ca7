"""What people say of a model, from a TOML file; ``edgeship recipe card`` prints an empty one."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Final

from contracts.artifact.card import DataStatement, Statement
from contracts.codec import from_plain
from contracts.errors import DecodeError
from optimizer.errors import PackingError, RecipeError
from optimizer.recipe.toml import refuse_unknown, table

TEMPLATE: Final = """\
# What whoever uses this model must know. Fill in what you know, and pack with: edgeship recipe pack ... --card FILE
# What was measured, what was changed and what that cost is filled in by itself.

intended_use = ""   # who uses it, for what, where
out_of_scope = ""   # what it must not be used for
limits = []         # where it fails, one sentence each: ["Never tested at night."]
licence = ""        # of the model, an SPDX expression as in "Apache-2.0"
owners = []         # who answers for it: ["Vision team <vision@example.org>"]

[training_data]
description = ""    # what is in it, from where, when, and who is missing
source = ""         # where it is kept
version = ""        # your own name for this state of it
licence = ""

[evaluation_data]   # the data that it was optimized and judged with
description = ""
source = ""
version = ""
licence = ""
"""


def read_statement(path: Path) -> Statement:
    """Return what the file says.

    Raises:
        PackingError: it cannot be read, is no TOML, or has a key that no card has.
    """
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
        refuse_unknown(plain, _names(Statement), "the card")
        for name in ("training_data", "evaluation_data"):
            refuse_unknown(table(plain, name), _names(DataStatement), f"[{name}] of the card")
        return from_plain(Statement, plain)
    except OSError as error:
        raise PackingError(
            f"cannot read card {path}: {error.strerror}; print an empty one with 'edgeship recipe card > {path}'"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PackingError(f"{path} is no TOML: {error}; mend that line") from error
    except (RecipeError, DecodeError) as error:
        raise PackingError(f"{path}: {error}") from error


def _names(kind: type[Statement | DataStatement]) -> list[str]:
    return [item.name for item in dataclasses.fields(kind)]
