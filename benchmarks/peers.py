"""What others take to check the same bytes: sha512sum, hashdeep, ocfl-py, restic. Who is not here is left out."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

_PATIENCE = 3600


def _run(command: list[str], *, where: Path, **environment: str) -> None:
    subprocess.run(
        command, cwd=where, check=True, capture_output=True, timeout=_PATIENCE,
        env={**os.environ, "LC_ALL": "C.UTF-8", **environment},
    )  # fmt: skip


def others(folder: Path, payload: Path, ocfl_root: Path) -> dict[str, Callable[[], None]]:
    """By name, what checks the files of ``payload`` (or the storage root with the same bytes). Prepared here: lists of
    digests, a repository of restic's in ``folder``."""
    found: dict[str, Callable[[], None]] = {}
    sums = folder / "sums"
    if shutil.which("sha512sum"):
        with sums.open("wb") as out:
            subprocess.run(["find", ".", "-type", "f", "-exec", "sha512sum", "{}", "+"], cwd=payload, check=True,
                           stdout=out, timeout=_PATIENCE)  # fmt: skip
        found["sha512sum -c"] = lambda: _run(["sha512sum", "--quiet", "-c", str(sums)], where=payload)
        split = f"split -n r/2 --filter='sha512sum --quiet -c -' {sums}"
        found["sha512sum -c, 2 at once"] = lambda: _run(["sh", "-c", split], where=payload)
    if shutil.which("hashdeep"):
        known = folder / "hashdeep"
        with known.open("wb") as out:
            command = ["hashdeep", "-r", "-l", "-c", "sha256", "."]
            subprocess.run(command, cwd=payload, check=True, stdout=out, timeout=_PATIENCE)
        audit = ["hashdeep", "-r", "-l", "-c", "sha256", "-j2", "-a", "-k", str(known), "."]
        found["hashdeep -a -j2 (sha256, it has no sha512)"] = lambda: _run(audit, where=payload)
    validate = Path(sys.executable).parent / "ocfl-root.py"
    with contextlib.suppress(OSError):
        if validate.is_file():
            command = [sys.executable, str(validate), "validate", "--validate-objects", "--check-digests",
                       "--root", str(ocfl_root)]  # fmt: skip
            found["ocfl-py"] = lambda: _run(command, where=folder)
    if shutil.which("restic"):
        place = {"RESTIC_REPOSITORY": str(folder / "restic"), "RESTIC_PASSWORD": "bench",
                 "RESTIC_CACHE_DIR": str(folder / "cache")}  # fmt: skip
        _run(["restic", "init", "-q"], where=folder, **place)
        _run(["restic", "backup", "-q", str(payload)], where=folder, **place)
        found["restic check --read-data (sha256, decrypts)"] = lambda: _run(
            ["restic", "check", "--read-data", "-q"], where=folder, **place
        )
    return found
