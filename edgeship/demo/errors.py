"""What stops the demo.

DemoError
├── StepFailed        a step did not hold what it says
└── ProcessDied       a process of the demo ended on its own
"""

from __future__ import annotations

from typing import ClassVar


class DemoError(Exception):
    """Root of what this package raises."""

    code: ClassVar[str] = "demo"


class StepFailed(DemoError):
    """A step did not hold what it says."""

    code: ClassVar[str] = "step_failed"


class ProcessDied(DemoError):
    """A process of the demo ended on its own."""

    code: ClassVar[str] = "process_died"
