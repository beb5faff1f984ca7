"""The commands ``edgeship optimize``, ``recipe`` and ``benchmark``.

In story order: ``sections`` (help under headings) and ``options`` (what several commands share), ``screen``,
``tables`` and ``details`` (what is printed), ``searching``; ``optimize``, ``recipe`` with ``show`` and ``pack``, and
``benchmark`` are the commands.
"""

__all__: list[str] = []
