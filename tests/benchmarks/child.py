"""A child such as ``benchmarks.harness.in_fresh_processes`` starts: prints what it was given."""

from __future__ import annotations

import argparse
import json
import os

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int)
    parser.add_argument("--order", type=int)
    print(json.dumps({**vars(parser.parse_args()), "pid": os.getpid()}))  # noqa: T201 - its answer
