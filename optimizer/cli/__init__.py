"""The commands ``edgeship optimize``, ``recipe``, ``artifact`` and ``benchmark``.

In story order: ``screen``, ``sections`` (help under headings), ``words`` and ``options`` (what several commands share);
``tables`` and ``details`` (what is printed), ``searching``; the commands ``optimize``, ``recipe`` with ``show`` and
``pack``, ``artifact``, ``benchmark``.
"""

__all__: list[str] = []
