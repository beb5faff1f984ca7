"""Measuring candidates on this machine.

``timing``: latency, interleaved with the original in one process. ``memory``: what loading and
running a model adds to a process, each in a child of its own. ``machine``: this machine in words.
A figure taken here is never called
the target's.
"""

__all__: list[str] = []
