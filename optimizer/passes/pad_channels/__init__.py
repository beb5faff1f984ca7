"""Channels filled up with zeros to the blocks that kernels work in.

In story order: ``pad``, ``groups``, ``follow``, ``operators``, ``widen``. ``pad`` is the pass. ``groups`` are channels
that must be padded together, ``follow`` finds them by going through the graph once, ``operators`` knows what each
operator does to channels, and ``widen`` writes the zeros.
"""

from optimizer.passes.pad_channels.pad import PadChannels

__all__ = ["PadChannels"]
