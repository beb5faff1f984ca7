"""What crosses a boundary between the optimizer, the agent and the server.

In story order: ``ids``, ``errors``, ``codec``, ``telemetry``; ``tensors``, ``preprocessing``, ``postprocessing``,
``features``, ``sketch``, ``manifest``, ``artifact/`` (what the optimizer makes); ``chunks``, ``release`` (what is
signed); ``topics``, ``enrollment``, ``metadata``, ``keys``, ``director``, ``update``, ``health``, ``envelope`` (what
travels); ``retrain``.

Import from the modules: each is one page. Nothing here does I/O beyond reading one artifact file.
"""

__all__: list[str] = []
