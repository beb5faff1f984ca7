"""How good an answer is: how far a candidate's answers are from the original's, row by row.

In story order: ``choosing`` picks the metric; ``classes``, ``ranking``, ``quantities``, ``embeddings`` and
``user_metric`` are the metrics; ``interval`` says how sure a paired difference is; ``fidelity`` compares
and says what n cannot resolve; ``changes`` names the rows and classes that moved; ``sensitivity`` is what one
layer does.
"""

__all__: list[str] = []
