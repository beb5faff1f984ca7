"""A function of the user's own, named ``module:function`` or ``file.py:function``.

Naming one is the user's consent to run it; nothing else in this package runs code that a file brings along.
A module is looked for in the present folder first, as ``python -m`` does.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from contracts.ids import digest_of
from optimizer.errors import OptimizerError

_DIGITS = 16
_SPELT = re.compile(r"(?P<place>[A-Za-z_][\w.]*|.+\.py):(?P<function>[A-Za-z_]\w*)")


def is_function(where: str) -> bool:
    """Whether the words name a function, and no file of that name exists.

    >>> is_function("nets.py:build"), is_function("nets:build"), is_function("model.onnx")
    (True, True, False)
    """
    return _SPELT.fullmatch(where) is not None and not Path(where).exists()


def user_function(where: str, *, error: type[OptimizerError]) -> Callable[..., object]:
    """Return the function; its module is imported, which runs it.

    Raises:
        OptimizerError: of the given class: there is no such file, module or function, or importing it fails.
    """
    spelt = _SPELT.fullmatch(where)
    if spelt is None:
        raise error(f"{where!r} names no function; write module:function or file.py:function")
    place, name = spelt["place"], spelt["function"]
    with _one_line(f"importing {place}", error):
        module = _module(place, error)
    function = getattr(module, name, None)
    if not callable(function):
        known = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        near = difflib.get_close_matches(name, known, n=3) or known[:6]
        raise error(f"{place} has no function {name!r}; it has {', '.join(near) or 'none'}")
    return function  # type: ignore[no-any-return] # callable() of an attribute says no more


def code_of(where: str, *, error: type[OptimizerError]) -> str:
    """Return the first digits of the digest of the file that the function is written in; its module is imported.

    Raises:
        OptimizerError: of the given class: there is no such function, or it is written in no file.
    """
    function = user_function(where, error=error)
    try:
        source = Path(inspect.getfile(inspect.unwrap(function))).read_bytes()
    except (OSError, TypeError) as cause:
        raise error(f"{where} is written in no file that can be read; name a function of a .py file") from cause
    return digest_of(source)[:_DIGITS]


def call_user(function: Callable[..., object], *arguments: object, error: type[OptimizerError]) -> object:
    """Return what the user's function returns for the arguments.

    Raises:
        OptimizerError: of the given class: the function raised; the line says what and where.
    """
    with _one_line(f"{getattr(function, '__name__', 'the function')}()", error):
        return function(*arguments)


def _module(place: str, error: type[OptimizerError]) -> ModuleType:
    if not place.endswith(".py"):
        with _importable(Path.cwd()):
            return importlib.import_module(place)
    path = Path(place).resolve()
    if not path.is_file():
        raise error(f"there is no file {place}; write file.py:function with the path of a Python file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise error(f"{place} cannot be imported; give a Python file")
    module = importlib.util.module_from_spec(spec)
    with _importable(path.parent):
        sys.modules.setdefault(path.stem, module)  # as importing does: classes of the file look their module up
        spec.loader.exec_module(module)
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let modules of the folder be imported inside the block."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


@contextmanager
def _one_line(what: str, error: type[OptimizerError]) -> Iterator[None]:
    """Turn whatever the user's code raises into one line that says where."""
    try:
        yield
    except OptimizerError:
        raise
    except Exception as raised:
        raise error(_told(what, raised)) from raised
    except SystemExit as raised:  # the command would end there, as if all were done
        raise error(_told(what, raised)) from raised


def _told(what: str, raised: BaseException) -> str:
    last = traceback.extract_tb(raised.__traceback__)[-1]
    told = (str(raised).strip().splitlines() or [""])[0][:160]
    place = f"{Path(last.filename).name}, line {last.lineno}"
    return f"{what} failed: {type(raised).__name__}: {told} ({place}); mend it there"
