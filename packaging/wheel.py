"""``make wheel``: the wheel for systems that do not take Debian packages, and beside it the lock that pins the rest.

Units, users and guides lie below ``share/khoso`` of the environment into which it is installed. It is built from a
copy: setuptools puts whatever it finds in an old ``build/`` into the wheel.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPY = ROOT / "build" / "wheel"
OUT = ROOT / "dist"
NEEDED = ("vault", "hardware", "monitoring", "systemd", "docs", "pyproject.toml", "README.md", "LICENSE")
BUILD = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
TIMEOUT = 300


def main() -> int:
    """Make the wheel; the exit code is for make."""
    shutil.rmtree(COPY, ignore_errors=True)
    COPY.mkdir(parents=True)
    OUT.mkdir(exist_ok=True)
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc", "*.po")
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, COPY / name, ignore=unwanted)
        else:
            shutil.copy(source, COPY)
    command = [sys.executable, "-c", BUILD, str(OUT)]
    done = subprocess.run(command, cwd=COPY, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode != 0:
        print(f"wheel: setuptools failed: {done.stderr.strip()}", file=sys.stderr)
        return 1
    shutil.copy(ROOT / "requirements.lock", OUT)
    print(OUT / done.stdout.split()[-1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
