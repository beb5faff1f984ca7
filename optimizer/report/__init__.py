"""The report of a search, as one HTML file.

In story order: ``page`` writes it; ``charts`` lays out the candidates, ``changed`` what the winner answers
differently (``pairs`` by class, ``examples`` by row, ``png`` its pictures), ``layers`` which layers matter and
where the time goes, ``traps`` the warnings; ``geometry`` does the arithmetic, ``templates/`` holds the markup.
"""

from optimizer.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
