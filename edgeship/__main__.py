"""``python -m edgeship``: the same as the command ``edgeship``."""

from edgeship.cli import main

main()
