"""What can go wrong between a trained model and an artifact.

    OptimizerError
    ├── ModelError          a file is missing, cut short, or holds no model that we take
    ├── DatasetError        data is missing, unreadable, or does not fit the model's tensors
    ├── MetricError         a metric is not known, cannot be loaded, or does not fit the answers and labels
    ├── LibraryMissing      a step needs a package that is not installed
    ├── PlanError           the pipeline cannot run; holds every objection
    ├── PassFailed          a pass could not do its work on this model
    │   ├── EquivalenceLost       the result of a conversion answers differently; names the first tensor that does
    │   └── UnsupportedOperator   the model holds an operator that the pass can't write
    ├── PromiseBroken       a pass returned what its contract excludes: a bug in the pass
    ├── RecipeError         a recipe file is not a pipeline
    ├── LockError           a lock cannot be written, read or replayed: something that the bytes depend on changed
    ├── BudgetError         a budget cannot be read, or cannot be met by anything
    ├── MeasureFailed       a candidate could not be run or measured on this machine
    └── PackingError        a candidate cannot be packed into an artifact

Each message names the thing, the value and the next action; ``code`` is a stable word for programs.
"""

from __future__ import annotations

from typing import ClassVar


class OptimizerError(Exception):
    """Root of what this package raises."""

    code: ClassVar[str] = "optimizer"


class ModelError(OptimizerError):
    """A file is missing, cut short, or holds no model that we take."""

    code: ClassVar[str] = "model"


class DatasetError(OptimizerError):
    """Data is missing, unreadable, or does not fit the model's tensors."""

    code: ClassVar[str] = "dataset"


class MetricError(OptimizerError):
    """A metric is not known, cannot be loaded, or does not fit the answers and labels."""

    code: ClassVar[str] = "metric"


class LibraryMissing(OptimizerError):
    """A step needs a package that is not installed."""

    code: ClassVar[str] = "library_missing"

    def __init__(self, package: str, what: str) -> None:
        """Name the package, what needs it and how to install it."""
        super().__init__(f"{what} needs {package}, which is not installed: pip install 'edgeship[optimizer]'")
        self.package = package


class PlanError(OptimizerError):
    """The pipeline cannot run; ``objections`` holds every reason, in the order of the steps."""

    code: ClassVar[str] = "plan"

    def __init__(self, objections: tuple[str, ...]) -> None:
        """Join the objections into one message."""
        super().__init__("the pipeline cannot run: " + "; ".join(objections))
        self.objections = objections


class PassFailed(OptimizerError):
    """A pass could not do its work on this model."""

    code: ClassVar[str] = "pass_failed"


class EquivalenceLost(PassFailed):
    """The result of a conversion answers differently.

    ``output`` is the worst output and ``error_ratio`` its error, as a share of its largest value; ``tensor`` is the
    first inner tensor that differs, empty where none does that both models have.
    """

    code: ClassVar[str] = "equivalence_lost"

    def __init__(self, message: str, *, output: str, tensor: str, error_ratio: float) -> None:
        """Keep what a program asks for."""
        super().__init__(message)
        self.output = output
        self.tensor = tensor
        self.error_ratio = error_ratio


class UnsupportedOperator(PassFailed):
    """The model holds an operator, or a use of one, that the pass can't write."""

    code: ClassVar[str] = "unsupported_operator"

    def __init__(
        self, operator: str, place: str, *, reason: str, supported: tuple[str, ...], nearest: str = ""
    ) -> None:
        """Name the operator, where it stands in the graph, why, and what comes nearest of what can be written."""
        why = f": {reason}" if reason else ""
        near = f"the nearest that can is {nearest}; " if nearest else ""
        super().__init__(
            f"export-tflite: operator {operator} at {place!r} can't be written{why}; {near}"
            f"rebuild the model without it, or stay with ONNX ({len(supported)} operators can: "
            "edgeship recipe passes export-tflite)"
        )
        self.operator = operator
        self.place = place
        self.supported = supported
        self.nearest = nearest


class PromiseBroken(OptimizerError):
    """A pass returned what its contract excludes: a bug in the pass."""

    code: ClassVar[str] = "promise_broken"


class RecipeError(OptimizerError):
    """A recipe file is not a pipeline."""

    code: ClassVar[str] = "recipe"


class LockError(OptimizerError):
    """A lock cannot be written, read or replayed: something that the bytes depend on has changed."""

    code: ClassVar[str] = "lock"


class BudgetError(OptimizerError):
    """A budget cannot be read, or cannot be met by anything."""

    code: ClassVar[str] = "budget"


class MeasureFailed(OptimizerError):
    """A candidate could not be run or measured on this machine."""

    code: ClassVar[str] = "measure_failed"


class PackingError(OptimizerError):
    """A candidate cannot be packed into an artifact."""

    code: ClassVar[str] = "packing"


def first_line(error: BaseException) -> str:
    """Return what a library's error says, fit for a message of ours: its first line, at most 160 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
