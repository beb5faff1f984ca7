"""Channels, heads and branches cut out of a torch program, which is then trained back to the original's answers.

In story order: ``modules``, ``attention``, ``network``, ``units``, ``widths``, ``importance``, ``cuts``, ``choices``,
``lessons``, ``distillation``, ``fake_quant``, ``checkpoints``, ``recovery``, ``prune``. A program becomes a network of
torch's modules (``modules``, ``attention``, ``network``); ``units`` says what hangs together and can be cut, by
Torch-Pruning's graph; ``cuts`` brings it to its ``widths``, what has the least ``importance`` first, and ``choices``
tells a search what each cut alone would harm; ``recovery`` trains by ``lessons`` and ``distillation``, last with
rounding (``fake_quant``), and keeps ``checkpoints``. ``prune`` are the two passes: pruned, and the dense control with
the same training.
"""

from optimizer.passes.prune_channels.importance import Importance
from optimizer.passes.prune_channels.prune import FineTune, PruneChannels

__all__ = ["FineTune", "Importance", "PruneChannels"]
