"""Representative inputs for passes that calibrate, and what the tensors inside a model look like on them.

``rows``: the user's rows as a model takes them. ``statistics``: what is kept of a tensor; ``observe``: from its values;
``instrument``: a model that shows its inner tensors; ``instrument_tflite``: the same of a TFLite file; ``collect``:
over all rows; ``kept``: once, and after a kill; ``ranges``: what a pass reads from them.
"""

__all__: list[str] = []
