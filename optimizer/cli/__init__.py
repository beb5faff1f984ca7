"""The commands ``edgeship optimize``, ``recipe`` and ``benchmark``.

In story order: ``options`` (what several commands share), ``screen``, ``searching``, ``tables`` (what is printed);
``optimize``, ``recipe`` and ``benchmark`` are the commands.
"""

__all__: list[str] = []
