"""Networks in torch, beside those of ``benchmarks.networks``: random weights by a seed, or a published file's.

``images`` classify, ``pictures`` answer with images or boxes, ``sequences`` read time or tokens, ``published`` are the
twins of files in the data folder; ``catalog`` names all of them. They import torch, so import them where they are used.
"""
