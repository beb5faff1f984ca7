"""Watches what is served and hands out one sketch for each release and window.

A request costs an append; counting is done in batches (``window``). Safe to use from several threads: the
server observes, the supervisor closes windows.

>>> from edge_agent.clock import SystemClock
>>> Sketcher(SystemClock()).close_window()
()
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from contracts.sketch import plan_digest
from edge_agent.drift.window import Watched, Window
from edge_agent.errors import NotWatched

if TYPE_CHECKING:
    from contracts.ids import ReleaseId
    from contracts.sketch import Sketch
    from edge_agent.clock import Clock
    from edge_agent.inference.engine import Tensors
    from edge_agent.inference.served_model import ServedModel


class Sketcher:
    """One open window for each watched release."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: dict[ReleaseId, Window] = {}
        self._lock = Lock()

    def watch(self, served: ServedModel) -> None:
        """Open a window for the release; watching one twice changes nothing."""
        plan = served.manifest.sketch_plan
        with self._lock:
            open_now = self._windows.get(served.release)
            if open_now is not None and open_now.watched.plan == plan:
                return
            watched = Watched(
                release=served.release,
                plan=plan,
                plan_digest=plan_digest(plan),
                output=served.manifest.outputs[0].name,
            )
            self._windows[served.release] = Window(watched=watched, started_at=self._clock.now())

    def observe(self, release: ReleaseId, inputs: Tensors, outputs: Tensors, latency_ms: float) -> None:
        """Take in one answered request; the arrays are kept for a while and must not be changed afterwards.

        Args:
            release: which release answered.
            inputs: as the client sent them, shape (n, ...).
            outputs: as they were served, shape (n, ...).
            latency_ms: from the request's turn to its answer made, milliseconds (waiting for earlier ones apart).

        Raises:
            NotWatched: ``watch`` was never called for the release.
        """
        with self._lock:
            self._window(release).add(inputs, outputs, latency_ms)

    def failed(self, release: ReleaseId) -> None:
        """Count one request that failed inside the agent.

        Raises:
            NotWatched: ``watch`` was never called for the release.
        """
        with self._lock:
            self._window(release).errors += 1

    def close_window(self) -> tuple[Sketch, ...]:
        """Return the sketches of the window that ends now, one for each release that was asked anything.

        The next window begins at the same instant, so no row falls between two.
        """
        with self._lock:
            now = self._clock.now()
            closed = tuple(window.close(now) for window in self._windows.values() if not window.is_empty)
            self._windows = {
                release: Window(watched=window.watched, started_at=now) for release, window in self._windows.items()
            }
        return closed

    def _window(self, release: ReleaseId) -> Window:
        window = self._windows.get(release)
        if window is None:
            raise NotWatched(f"release {release} answered unwatched: call Sketcher.watch before it is put to serve")
        return window
