"""The whole story once, on this machine: real training, real broker, real processes, real signatures.

In story order: ``narration`` (how it speaks), ``training``, ``optimizing``, ``releasing``, ``processes``
(server, broker and agents), ``fleet`` (what an operator does), ``traffic``, ``attacks``, ``story`` (the
nine steps), ``cli``.
"""

__all__: list[str] = []
