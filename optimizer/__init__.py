"""Model in, artifact out.

In story order: ``errors``, ``whole_file``; ``model``, ``formats/`` (torch, ONNX, TFLite, and running them);
``dataset`` and ``calibration`` (the data); ``pass_``, ``passes/``, ``pipeline``, ``plan`` and ``store`` (making);
``budget``, ``served``, ``fidelity`` and ``benchmark/`` (measuring); ``candidate``, ``exploration``, ``frontier``
and ``optimize`` (choosing); ``recipe``, ``search_folder``, ``words``, ``tables``, ``report/`` and ``cli``
(telling); ``packing/`` (the artifact).

Import from the modules: each is one page. Importing this package imports no framework.
"""

__all__: list[str] = []
