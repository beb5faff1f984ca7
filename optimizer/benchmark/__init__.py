"""Measuring candidates: on this machine, by a command on another one, or from what was measured before.

In story order: ``machine`` (this machine in words), ``timing`` (latency, interleaved with the original in one process),
``memory`` (what loading and running a model adds to a process, each in a child of its own), ``micro`` (the arena that
it needs on a microcontroller, and its answers there), ``lock`` (one measurement
at a time), ``runner`` (the protocol, and this machine), ``exchange`` (what a measuring command reads and answers),
``far_side`` (``edgeship measure``), ``command`` (a command measures), ``kept`` (each figure taken once, and replayed),
``choice`` (which runner measures for a target) and ``operators`` (where the time goes).

A figure says where it was taken; it is the target's only where somebody said that the machine is the target.
"""

__all__: list[str] = []
