"""Model in, artifact out.

In story order: ``errors`` and ``telling``; ``whole_file``, ``exclusive`` and ``ledger`` (files that processes share);
``source`` opens what the user names (``file_kind``, ``user_function``) as a ``model`` in one of ``formats/``; ``data/``
and ``calibration/`` (the user's rows); ``pass_``, ``passes/``, ``pipeline``, ``plan``, ``store`` and ``equivalence``
(making, and whether it kept the answers); ``served``, ``metrics/`` and ``benchmark/`` (measuring); ``search/``
(choosing); ``recipe/``, ``words``, ``report/`` and ``cli/`` (saying it); ``packing/`` and ``microcontroller/`` (what
is shipped).

Import from the modules: each is one page. Importing this package imports no framework.
"""

__all__: list[str] = []
