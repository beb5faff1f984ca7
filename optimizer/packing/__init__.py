"""From a candidate to an artifact.

In story order: ``assembly`` puts it together, ``golden`` chooses the rows to reproduce and reruns them,
``sketch_plan`` says what to watch, ``lineage`` where it comes from; ``statement`` reads what its owners say of it,
``card`` adds what the optimizer knows, ``bill`` lists what it is made of; ``account`` reads and checks finished files.
"""

from optimizer.packing.assembly import Order, pack, pack_order
from optimizer.packing.golden import Verified, verify_packed

__all__ = ["Order", "Verified", "pack", "pack_order", "verify_packed"]
