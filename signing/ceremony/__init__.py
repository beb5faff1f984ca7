"""Several people, several machines, one signed file: how metadata gather the signatures that they need.

In story order: ``roles`` (which keys stand in which role), ``pending`` (what waits, whose signatures count, how many
are missing), ``gathering`` (propose, sign, put into force), ``founding`` (the first roots), ``changes`` (keys added,
rotated and revoked, teams, releases taken back), ``words`` (what a signature would change, told before it is given),
``plainness`` (nothing is signed that no line tells), ``merging`` (a copy that was signed elsewhere), ``overview`` (who
holds which key), ``drill`` (what a loss would cost).

Nothing here asks a person anything; what a person sees is what is signed, byte for byte.
"""

__all__: list[str] = []
