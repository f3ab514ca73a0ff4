"""make bench: every benchmark, one after the other (BENCH_SCALE=0.1 for a quick look; 1 by default)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import deposit, download, load, many, replicate, tape, verify
from benchmarks.harness import console


def main() -> int:
    """Run those that are named, or all."""
    scale = float(os.environ.get("BENCH_SCALE", "1"))
    wanted = sys.argv[1:] or ["verify", "replicate", "deposit", "many", "download", "load", "tape"]
    known = {
        "verify": verify.run,
        "replicate": replicate.run,
        "deposit": deposit.run,
        "many": many.run,
        "download": download.run,
        "load": load.run,
        "tape": tape.run,
    }
    for name in wanted:
        if name not in known:
            console.print(f"There is no benchmark {name!r}; there are {', '.join(known)}.")
            return 2
        known[name](scale)
    return 0


if __name__ == "__main__":
    sys.exit(main())
