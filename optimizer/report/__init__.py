"""The report of a search, as one HTML file.

In story order: ``page`` writes it, ``charts`` lays out what it shows, ``geometry`` does the arithmetic,
``templates/`` holds the markup.
"""

from optimizer.report.page import render_report, write_report

__all__ = ["render_report", "write_report"]
