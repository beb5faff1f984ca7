"""No library of ours reports to anyone: what must be said before a runtime is imported.

ONNX Runtime's builds of 2026 keep a device id in the user's cache and send events to their maker unless they are told
otherwise before they are loaded.
"""

from __future__ import annotations

import os

_OPT_OUT = "ORT_DISABLE_TELEMETRY"


def forbid_telemetry() -> None:
    """Tell runtimes that are imported from now on to keep and send nothing; who sets the variable otherwise decides."""
    os.environ.setdefault(_OPT_OUT, "1")
