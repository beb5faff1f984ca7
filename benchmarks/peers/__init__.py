"""The peers of ``optimizer_vs_peers``: what they are, where they run, and the scripts that run inside them.

``recipes`` lists them; ``environments`` makes the virtual environment of each; ``work`` runs one of them on one model
and keeps what it gave; ``cases`` are the models and rows of the fixed list; ``ours`` makes our own choice;
``timing`` times all files of one model in one process; ``scores`` compares their answers; ``bars`` judges.
``inside`` holds what runs in the peers' own environments.
"""
