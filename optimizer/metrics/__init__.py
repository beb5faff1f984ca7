"""How good an answer is: ``fidelity`` says how far a candidate's answers are from the original's."""

__all__: list[str] = []
