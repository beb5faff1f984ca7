"""From a candidate to an artifact.

In story order: ``assembly`` puts it together, ``golden`` chooses the rows to reproduce and reruns them,
``sketch_plan`` says what to watch, ``lineage`` where it comes from.
"""

from optimizer.packing.assembly import pack
from optimizer.packing.golden import Verified, verify_packed

__all__ = ["Verified", "pack", "verify_packed"]
