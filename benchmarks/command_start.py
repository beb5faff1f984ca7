"""How long does ``edgeship --help`` take, and how much of it is Python itself?"""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.harness import Bar, alternate, at_most, finish, options, reported

QUESTION = "How long does `edgeship --help` take, beside `python -c pass`?"
LIMIT_S = 0.3


def wall_s(*arguments: str) -> float:
    """Return the wall seconds of one whole process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def measure(*, rounds: int, seed: int) -> list[Bar]:
    """Return the bars."""
    wall_s("-m", "edgeship", "--help")
    helps, floors, imports, ratios = [], [], [], []
    for turn in range(rounds):
        taken = alternate(
            {
                "help": lambda: wall_s("-m", "edgeship", "--help"),
                "python": lambda: wall_s("-c", "pass"),
                "agent": lambda: wall_s("-c", "import edge_agent"),
            },
            rounds=1,
            order=seed + turn,
        )
        helps.append(taken["help"])
        floors.append(taken["python"])
        imports.append(taken["agent"])
        ratios.append(taken["help"] / taken["python"])
    return [
        at_most("edgeship --help", helps, unit="s", limit=LIMIT_S, peer="-"),
        reported("python -c pass", floors, unit="s"),
        reported("ratio of the two", ratios, unit="x", peer="python -c pass"),
        reported("python -c 'import edge_agent'", imports, unit="s"),
    ]


if __name__ == "__main__":
    chosen = options(QUESTION)
    sys.exit(finish(QUESTION, measure(rounds=5 if chosen.quick else 21, seed=chosen.seed), chosen))
