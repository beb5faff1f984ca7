"""Several people, several machines, one signed file: how metadata gather the signatures that they need.

In story order: ``pending`` (what waits, whose signatures count, how many are missing), ``founding`` (the first roots),
``changes`` (keys added, rotated and revoked, teams, releases taken back), ``gathering`` (propose, sign, put into force),
``words`` (what a signature would change, told before it is given), ``merging`` (a copy that was signed elsewhere),
``overview`` (who holds which key), ``drill`` (what a loss would cost, rehearsed).

Nothing here asks a person anything; what a person sees is what is signed, byte for byte.
"""

__all__: list[str] = []
