"""The shared account of one search: which attempts wait, which a worker has taken, what came of each.

It is an Optuna study, so its storage (memory, SQLite, PostgreSQL) decides who shares it: any number of workers on
any number of machines open the same study by its name. Each trial is one attempt; what came of it is an attribute
of the trial, and its values (drop, size, latency ratio) are there for Optuna's own tools.

A worker that died leaves its trial running: another worker of the same machine sees that its process is gone, one
elsewhere that nothing was heard of it for ``GRACE_S``; either takes the attempt again. What was finished stays.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar

from optimizer.errors import LibraryMissing, OptimizerError, first_line

if TYPE_CHECKING:
    import optuna

GRACE_S: Final = 120.0
"""Silence after which a worker on another machine counts as dead."""
_BEAT_S: Final = 15.0
_UNSIGNED_S: Final = 5.0
_SQLITE_WAIT_S: Final = 60
_WAIT_S: Final = 0.3
_TRIES: Final = 5
_KEY, _OUTCOME, _WORKER, _SEEN_AT = "attempt", "outcome", "worker", "seen_at"
_SHARED: Final = "shared:"
Plain = Mapping[str, Any]
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An attempt that this worker has taken: its key, and the number of its trial."""

    key: str
    trial: int


def _storage_errors() -> tuple[type[Exception], ...]:
    """Return what Optuna raises where its storage is full, read-only, gone or damaged."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    return (optuna.exceptions.OptunaError, SQLAlchemyError, json.JSONDecodeError)


def _one_line(method: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Return the method with the storage's troubles in one line."""

    @functools.wraps(method)
    def guarded(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        try:
            return method(*arguments, **named)
        except _storage_errors() as error:
            raise OptimizerError(
                f"the search's storage cannot be read or written ({first_line(error.__cause__ or error)}); free some "
                "room, see that it can be written, or give another --storage: what was finished is kept"
            ) from error

    return guarded


class Study:
    """One search's account; see the module. Safe for many processes, each with its own object."""

    def __init__(self, name: str, *, storage: str = "", clock: Callable[[], float] = time.time) -> None:
        """Open the study of that name, or make it.

        Args:
            name: of the search; the same case gives the same name.
            storage: an Optuna storage, as in ``sqlite:///search.db`` or ``postgresql+psycopg://...``; empty: memory.
            clock: seconds since the epoch, the same on all machines to within ``GRACE_S``.

        Raises:
            OptimizerError: the storage cannot be opened.
            LibraryMissing: optuna is not installed.
        """
        self._study = _open(name, storage)
        self._clock = clock
        self._worker = f"{socket.gethostname()}:{os.getpid()}:{_born(os.getpid())}"

    @_one_line
    def enqueue(self, keys: Iterable[str]) -> None:
        """Let each attempt that the study does not know yet wait for a worker."""
        known = {key for key, _ in self._attempts()}
        for key in keys:
            if key not in known:
                self._study.enqueue_trial({}, user_attrs={_KEY: key})

    @_one_line
    def claim(self, keys: Iterable[str]) -> Claim | None:
        """Return the next of the attempts that nobody has taken, taken for this worker; None where there is none.

        Attempts whose worker died are taken again.
        """
        self._release_dead()
        wanted = set(keys)
        self.enqueue(wanted)  # an attempt of which nonsense came is as good as unknown
        while self._waiting(wanted):
            trial = self._study.ask()
            key = str(trial.user_attrs.get(_KEY, ""))
            if key in wanted and self._is_first(key, trial.number):
                trial.set_user_attr(_WORKER, self._worker)
                trial.set_user_attr(_SEEN_AT, self._clock())
                return Claim(key=key, trial=trial.number)
            self._drop(trial.number, key if key not in wanted else "")
        return None

    @contextmanager
    def heartbeat(self, claim: Claim) -> Iterator[None]:
        """Tell the others every few seconds, inside the block, that this worker is alive."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(_BEAT_S):
                with suppress(*_storage_errors()):  # a lost storage is said by who reads or writes what counts
                    self._note(claim.trial, _SEEN_AT, self._clock())

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    @_one_line
    def finish(self, claim: Claim, outcome: Plain, *, values: tuple[float, float, float] | None) -> None:
        """Keep what came of the attempt; ``values`` are drop, bytes and latency ratio, None where it failed."""
        import optuna

        if not self._note(claim.trial, _OUTCOME, json.dumps(outcome, sort_keys=True)):
            return
        state = optuna.trial.TrialState.COMPLETE if values else optuna.trial.TrialState.PRUNED
        self._study.tell(claim.trial, values, state=state, skip_if_finished=True)

    @_one_line
    def outcomes(self) -> dict[str, Plain]:
        """Return what came of each finished attempt, by its key."""
        found: dict[str, Plain] = {}
        for key, trial in self._attempts():
            outcome = _plain(trial.user_attrs.get(_OUTCOME))
            if trial.state.is_finished() and outcome:
                found.setdefault(key, outcome)
        return found

    def shared(self, key: str, make: Callable[[], Plain]) -> Plain:
        """Return what the study holds under the key; where it holds nothing, what ``make`` gives, kept for all.

        One worker makes it, as it does an attempt; the others wait for it.
        """
        name = _SHARED + key
        self.enqueue((name,))
        while (held := self.outcomes().get(name)) is None:
            claim = self.claim((name,))
            if claim is None:
                time.sleep(_WAIT_S)
                continue
            with self.heartbeat(claim), self._given_back(claim, name):
                self.finish(claim, make(), values=None)
        return held

    @contextmanager
    def _given_back(self, claim: Claim, key: str) -> Iterator[None]:
        """Let the attempt wait again where the block ends without an outcome."""
        try:
            yield
        finally:
            if key not in self.outcomes():
                self._drop(claim.trial, key)

    def _attempts(self) -> list[tuple[str, optuna.trial.FrozenTrial]]:
        trials = self._study.get_trials(deepcopy=False)
        return [(str(trial.user_attrs[_KEY]), trial) for trial in trials if _KEY in trial.user_attrs and _counts(trial)]

    def _waiting(self, wanted: set[str]) -> bool:
        return any(key in wanted and trial.state.name == "WAITING" for key, trial in self._attempts())

    def _is_first(self, key: str, number: int) -> bool:
        """Whether no other trial of the same attempt came before: two workers may have put it in the queue."""
        return min(trial.number for other, trial in self._attempts() if other == key) == number

    def _release_dead(self) -> None:
        for key, trial in self._attempts():
            if trial.state.name == "RUNNING" and self._is_dead(trial):
                self._drop(trial.number, key)

    def _is_dead(self, trial: optuna.trial.FrozenTrial) -> bool:
        now, told = self._clock(), trial.user_attrs
        if _WORKER not in told:  # between taking it and saying so lie milliseconds
            return trial.datetime_start is None or now - trial.datetime_start.timestamp() > _UNSIGNED_S
        host, _, process = str(told[_WORKER]).partition(":")
        pid, _, born = process.partition(":")
        if host == socket.gethostname():
            return _born(int(pid) if pid.isdecimal() else 0) != born
        seen = told.get(_SEEN_AT)
        # far in the future is no sign of life either: a clock was set back
        return not isinstance(seen, int | float) or abs(now - seen) > GRACE_S

    def _note(self, number: int, key: str, value: object) -> bool:
        """Set an attribute of a running trial; return False where another worker has ended it meanwhile."""
        import optuna

        # a running trial of another session is reached through its storage alone
        storage, trial = self._study._storage, self._trial(number)  # noqa: SLF001
        try:
            storage.set_trial_user_attr(trial._trial_id, key, value)  # noqa: SLF001
        except optuna.exceptions.UpdateFinishedTrialError:
            return False
        return True

    def _drop(self, number: int, again: str) -> None:
        """End the trial without an outcome; where an attempt is named, let it wait again."""
        import optuna

        try:
            self._study.tell(number, state=optuna.trial.TrialState.FAIL)
        except ValueError:  # another worker was quicker, and lets it wait again
            return
        if again:
            self._study.enqueue_trial({}, user_attrs={_KEY: again})

    def _trial(self, number: int) -> optuna.trial.FrozenTrial:
        return next(trial for trial in self._study.get_trials(deepcopy=False) if trial.number == number)


def _counts(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether the attempt waits, runs, or something came of it that can be read."""
    if trial.state.is_finished():
        return trial.state.name != "FAIL" and bool(_plain(trial.user_attrs.get(_OUTCOME)))
    return True


def _plain(held: object) -> Plain:
    """Return the map that a worker wrote; an empty one where it wrote none, or nonsense."""
    try:
        plain = json.loads(held) if isinstance(held, str) else None
    except (ValueError, RecursionError):
        return {}
    return plain if isinstance(plain, dict) else {}


def _open(name: str, storage: str, *, left: int = _TRIES) -> optuna.Study:
    try:
        import optuna
    except ImportError as error:
        raise LibraryMissing("optuna", "a search") from error
    from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    held: Any = optuna.storages.InMemoryStorage()
    try:
        if storage:
            waiting = {"connect_args": {"timeout": _SQLITE_WAIT_S}} if storage.startswith("sqlite") else None
            held = optuna.storages.RDBStorage(_with_driver(storage), engine_kwargs=waiting)
        return optuna.create_study(storage=held, study_name=name, directions=("minimize",) * 3, load_if_exists=True)
    except (IntegrityError, ProgrammingError, OperationalError) as error:
        if left:  # several workers that start at once make the tables at once: all but one must look again
            time.sleep(_WAIT_S)
            return _open(name, storage, left=left - 1)
        raise _cannot_open(storage, error) from error
    except (SQLAlchemyError, ArgumentError, ImportError, RuntimeError, ValueError) as error:
        raise _cannot_open(storage, error) from error


def _cannot_open(storage: str, error: Exception) -> OptimizerError:
    line = first_line(error)
    way_out = "free some space there" if "full" in line else "give one as in sqlite:///search.db"
    return OptimizerError(f"cannot open the storage {_without_password(storage)} ({line}); {way_out}")


def _with_driver(storage: str) -> str:
    """Return the storage with the PostgreSQL driver that edgeship brings named, where none is."""
    return storage.replace("postgresql://", "postgresql+psycopg://", 1)


def _without_password(storage: str) -> str:
    scheme, separator, rest = storage.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def _born(pid: int) -> str:
    """Return when the process began, in the system's own ticks; empty where it is gone or cannot be told."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:  # noqa: PTH123 a file of the system
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
