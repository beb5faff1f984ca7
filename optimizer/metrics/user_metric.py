"""The user's own metric: a function of the answers and the labels, higher is better.

    def f(answers: dict[str, numpy.ndarray], labels: numpy.ndarray | None) -> float

``answers`` holds every served output by name, float32, shape (n, ...). A share from 0 to 1 (mAP, F1)
drops in points; any other figure drops relative to the original's. The interval is a paired bootstrap
over rows: both models' answers on the same drawn rows, seeded.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import SupportsFloat

import numpy as np
from numpy.typing import NDArray

from optimizer.errors import MetricError
from optimizer.metrics.fidelity import Answers, Fidelity, Labels
from optimizer.metrics.interval import around
from optimizer.user_function import call_user, user_function

_FORM = "write f(answers, labels) -> float, higher is better"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserMetric:
    """A user's function as a metric; ``draws`` resamples of the rows give the interval's standard error."""

    name: str
    function: Callable[..., object]
    seed: int = 0
    draws: int = 200

    def judge(self, answers: Answers, reference: Answers, labels: Labels) -> Fidelity:
        """Return the drop of the user's figure; see ``Metric``.

        Raises:
            MetricError: the function fails, or its figure is no finite number.
        """
        n = len(next(iter(reference.values())))
        every = np.arange(n)
        original, value = self._figure(reference, labels, every), self._figure(answers, labels, every)
        is_share = 0 <= original <= 1
        scale = 1.0 if is_share else abs(original)
        random = np.random.default_rng(self.seed)
        drops = [
            self._figure(reference, labels, drawn) - self._figure(answers, labels, drawn)
            for drawn in (random.integers(0, n, size=n) for _ in range(self.draws))
        ]
        return Fidelity(
            metric=self.name,
            n=n,
            value=value,
            original=original,
            drop=around((original - value) / scale, float(np.std(drops, ddof=1)) / scale),
            unit="points" if is_share else "%",
            scale=scale,
            others={},
        )

    def _figure(self, answers: Answers, labels: Labels, drawn: NDArray[np.int64]) -> float:
        rows = {name: values[drawn] for name, values in answers.items()}
        figure = call_user(self.function, rows, None if labels is None else labels[drawn], error=MetricError)
        if not isinstance(figure, SupportsFloat) or not math.isfinite(figure):
            raise MetricError(f"metric {self.name} gave {figure!r}, not a finite number; {_FORM}")
        return float(figure)


def user_metric(where: str, *, seed: int = 0) -> UserMetric:
    """Return the metric of the function at ``module:function`` or ``file.py:function``.

    Raises:
        MetricError: there is no such module or function, or it takes other arguments.
    """
    function = user_function(where, error=MetricError)
    try:
        inspect.signature(function).bind({}, None)
    except TypeError as error:
        raise MetricError(f"metric {where} cannot be called with two arguments ({error}); {_FORM}") from error
    except ValueError:
        pass  # a builtin that tells no signature: the first call says
    return UserMetric(name=where, function=function, seed=seed)
