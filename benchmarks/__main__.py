"""``python -m benchmarks [NAME ...] [FLAGS]``: every benchmark, or those named; exit 1 when one misses a bar."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NOT_BENCHMARKS = {
    "__init__",
    "__main__",
    "choice_cases",
    "harness",
    "sentences",
    "minilm",
    "networks",
    "pruning_cases",
    "pruning_choice",
}


def main(wanted: list[str]) -> int:
    """Run the benchmarks one after the other; return 0 where all bars hold."""
    here = Path(__file__).parent
    names = [path.stem for path in sorted(here.glob("*.py")) if path.stem not in NOT_BENCHMARKS]
    flags = wanted[next((place for place, word in enumerate(wanted) if word.startswith("--")), len(wanted)) :]
    asked = wanted[: len(wanted) - len(flags)]
    unknown = [name for name in asked if name not in names]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}: there are {', '.join(names)}")
        return 2
    chosen = asked or names
    missed = [
        name
        for name in chosen
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *flags], check=False).returncode
    ]
    print("all bars held" if not missed else f"missed: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
