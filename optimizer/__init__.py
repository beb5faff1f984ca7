"""Model in, artifact out.

In story order: ``errors``, ``whole_file``; ``model``, ``formats/`` (torch, ONNX, TFLite, and running them);
``data/`` and ``calibration/`` (the user's rows); ``pass_``, ``passes/``, ``pipeline``, ``plan``, ``store`` and ``ledger``
(making);
``served``, ``metrics/`` and ``benchmark/`` (measuring); ``search/`` (choosing); ``recipe``, ``words``, ``report/``
and ``cli/`` (telling); ``packing/`` (the artifact).

Import from the modules: each is one page. Importing this package imports no framework.
"""

__all__: list[str] = []
