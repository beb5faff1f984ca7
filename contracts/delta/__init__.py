"""A model-aware diff of two artifact files: what a next version differs in, tensor by tensor, entropy-coded.

In story order: ``file`` is the format and its two functions, ``news`` what a server says of one; ``spans`` finds
tensors, ``elements`` reads them as numbers, ``matching`` pairs them and decides how each is told, with ``picking``
(which channels are left) and ``hinting`` (how they moved), ``plan`` writes that down; ``coding`` walks the plan,
``tensors`` one tensor, by what ``expecting`` says of it; ``residuals`` codes what is left bit by bit, ``mixing`` gives
each bit its chance, ``lanes`` turns chances and bits into bytes; ``generic`` is zstd.
"""

from contracts.delta.file import apply, make
from contracts.delta.news import DeltaNews, DeltaState

__all__ = ["DeltaNews", "DeltaState", "apply", "make"]
