"""Which release of each model answers now. A new one takes over between two requests.

A request borrows the model for as long as it runs. What was replaced or removed is closed when its last
borrower is done, so requests in flight finish on the release that they began with.
"""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from edge_agent.errors import ModelNotServed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contracts.ids import ModelName, ReleaseId
    from edge_agent.inference.served_model import ServedModel


class _Place:
    """A served model, who is using it, and whether it has been replaced."""

    __slots__ = ("borrowers", "retired", "served")

    def __init__(self, served: ServedModel) -> None:
        self.served = served
        self.borrowers = 0
        self.retired = False


class ServedModels:
    """The models that answer, by name. Safe to use from several threads."""

    def __init__(self) -> None:
        self._places: dict[ModelName, _Place] = {}
        self._lock = Lock()

    def put(self, served: ServedModel) -> None:
        """Make it the one that answers for its model; the one before is closed after its last request.

        Putting the release that answers already, as the same object, changes nothing.
        """
        name = served.manifest.model
        with self._lock:
            before = self._places.get(name)
            if before is not None and before.served is served:
                return
            self._places[name] = _Place(served)
        self._retire(before)

    def get(self, model: ModelName) -> ServedModel:
        """Return what answers for the model now; use ``borrow`` to infer.

        Raises:
            ModelNotServed: nothing does.
        """
        with self._lock:
            return self._place(model).served

    @contextmanager
    def borrow(self, model: ModelName) -> Iterator[ServedModel]:
        """Give what answers for the model now, and keep it open until the block ends.

        Raises:
            ModelNotServed: nothing does.
        """
        with self._lock:
            place = self._place(model)
            place.borrowers += 1
        try:
            yield place.served
        finally:
            with self._lock:
                place.borrowers -= 1
                last = place.retired and place.borrowers == 0
            if last:
                place.served.close()

    def remove(self, model: ModelName) -> None:
        """Make nothing answer for the model; removing what is not there is harmless."""
        with self._lock:
            before = self._places.pop(model, None)
        self._retire(before)

    def releases(self) -> Mapping[ModelName, ReleaseId]:
        """Return which release answers for each model."""
        with self._lock:
            return {name: place.served.release for name, place in self._places.items()}

    def _place(self, model: ModelName) -> _Place:
        place = self._places.get(model)
        if place is None:
            known = ", ".join(sorted(self._places)) or "none"
            raise ModelNotServed(f"no model {model[:80]!r} is served here; served now: {known}")
        return place

    def _retire(self, place: _Place | None) -> None:
        if place is None:
            return
        with self._lock:
            place.retired = True
            idle = place.borrowers == 0
        if idle:
            place.served.close()
