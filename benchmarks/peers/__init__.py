"""The parts of ``optimizer_vs_peers``: the models, the peers, and how all their files are timed, scored and judged.

``cases`` are the models and rows of the fixed list (``architectures`` the bodies of the networks made here);
``recipes`` lists what the peers recommend; ``environments`` makes the virtual environment of each; ``work`` runs one of
them, or ``ours``, on one model and keeps what it gave; ``sides`` opens the files, ``timing`` times all of one model in
one process, ``scores`` compares their answers, ``optimized`` says which do the same work; ``bars`` judges, ``tables``
shows, ``walltime`` times the one command; ``progress`` says how far it is. ``inside`` runs in the peers' environments.
"""
