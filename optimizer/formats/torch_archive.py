"""What a ``.pt2`` archive may hold before torch is let near it.

``torch.export.load`` unpickles without limits where an archive asks for it (weights and constants marked
``use_pickle``, custom objects, sample inputs, the older forms), loads compiled libraries, and evaluates
size expressions. A program that ``torch.export.save`` writes of a plain network needs none of that, so an
archive that asks for any of it is refused here, by the standard library alone.
"""

from __future__ import annotations

import io
import json
import pickletools
import re
import zipfile
from collections.abc import Iterator
from typing import Any, Final

from optimizer.errors import ModelError

_EXPRESSION: Final = re.compile(
    r"(?:Symbol\('[su]\d+'|(?:positive|nonnegative|negative|integer|zero|real)=(?:True|False)"
    r"|(?:Add|Mul|Pow|Integer|Rational|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv)\(|[su]\d+|\d+|[-+*/%(), ])*"
)
_HARMLESS: Final = frozenset({"collections OrderedDict", "torch._utils _rebuild_tensor_v2"})
_STORAGE: Final = re.compile(r"torch \w+Storage")
_PROGRAM: Final = "models/model.json"
_KNOWN: Final = re.compile(
    r"models/model\.json|archive_format|archive_version|byteorder|version|\.data/\w+|extra/[^/]+"
    r"|\.format_version|\.storage_alignment"
    r"|data/weights/(?:weight_\d+|model_weights_config\.json)"
    r"|data/constants/(?:tensor_\d+|model_constants_config\.json)"
    r"|data/sample_inputs/model\.pt"
)


def check_archive(content: bytes, name: str) -> None:
    """Refuse an archive that would make torch run code of the file's.

    Raises:
        ModelError: no ``.pt2`` archive, or it holds something else than tensors and a graph.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = _members(archive, name)
            found = next(_faults(archive, members), None)
    except (
        zipfile.BadZipFile,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        NotImplementedError,
    ) as error:
        raise ModelError(
            f"{name}: not a torch.export program, or damaged ({str(error)[:120]}); save it again"
        ) from error
    if found is not None:
        raise ModelError(
            f"{name}: refused, because loading it could run code of the file's: {found}; save a program that holds "
            "only tensors with torch.export.save of torch 2.13"
        )


def _members(archive: zipfile.ZipFile, name: str) -> dict[str, str]:
    """Return the path in the archive of each member, by its path below the archive's one folder."""
    names = archive.namelist()
    roots = {path.partition("/")[0] for path in names}
    if len(roots) != 1 or len(set(names)) != len(names):
        raise ModelError(f"{name}: not a torch.export program: it has several folders, or two members of one name")
    members = {path.partition("/")[2]: path for path in names}
    if _PROGRAM not in members:
        raise ModelError(f"{name}: not a torch.export program of torch 2.13: it has no {_PROGRAM}; save it again")
    return members


def _faults(archive: zipfile.ZipFile, members: dict[str, str]) -> Iterator[str]:
    """Yield what torch would run, or might."""
    for below in members:
        if not _KNOWN.fullmatch(below):
            yield f"it has a member {below!r}"
    for below, path in members.items():
        if below.endswith("_config.json"):
            yield from _pickled_tensors(json.loads(archive.read(path)))
        elif below.startswith("data/sample_inputs/"):
            yield from _odd_globals(archive.read(path))
    for expression in _expressions(json.loads(archive.read(members[_PROGRAM]))):
        if not _EXPRESSION.fullmatch(expression):
            yield f"a size is {expression[:60]!r}"


def _pickled_tensors(told: Any) -> Iterator[str]:
    for tensor, entry in told["config"].items():
        if entry["use_pickle"] or not str(entry["path_name"]).startswith(("weight_", "tensor_")):
            yield f"tensor {tensor!r} is pickled"


def _odd_globals(content: bytes) -> Iterator[str]:
    """Yield the names that a saved tuple of example tensors has no need to look up."""
    with zipfile.ZipFile(io.BytesIO(content)) as inner:
        pickles = [path for path in inner.namelist() if path.endswith(".pkl")]
        if len(set(inner.namelist())) != len(inner.namelist()) or len(pickles) != 1:
            yield "its example inputs are no plain tensors"
            return
        for opcode, argument, _ in pickletools.genops(inner.read(pickles[0])):
            if opcode.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4") or (
                opcode.name == "GLOBAL" and argument not in _HARMLESS and not _STORAGE.fullmatch(str(argument))
            ):
                yield f"its example inputs look up {argument or opcode.name!r}"


def _expressions(told: Any) -> Iterator[str]:
    """Yield every size expression of the graph, wherever it stands."""
    if isinstance(told, dict):
        for key, value in told.items():
            if key == "expr_str":
                yield str(value)
            else:
                yield from _expressions(value)
    elif isinstance(told, list):
        for item in told:
            yield from _expressions(item)
