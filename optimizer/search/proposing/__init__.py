"""What to try next, from what is known: rules of thumb propose, measuring decides.

In story order: ``segments`` (contiguous parts in int8), ``encoders`` (attention and layer normalization), ``litert``
(TFLite), ``widths`` (which channels to cut), ``pruning`` (cut and trained), ``sensitivity`` (one layer at a time) and
``rounds``, which calls them.
"""

__all__: list[str] = []
