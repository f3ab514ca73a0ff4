"""Timing, and the table that every benchmark prints."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

console = Console(highlight=False, width=110)

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One contender's best time over the repeats, in seconds, for so many bytes."""

    name: str
    seconds: float
    bytes: int

    @property
    def speed(self) -> float:
        """MB/s (10^6)."""
        return self.bytes / self.seconds / 1e6


def best(call: Callable[[], object], repeats: int = 3, before: Callable[[], None] | None = None) -> float:
    """The least of the times that the call takes: what the machine can do when nobody disturbs it."""
    times = []
    for _ in range(repeats):
        if before is not None:
            before()
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def show(title: str, rows: Iterable[Row], floor: str) -> None:
    """Print the rows with their ratio to the floor's speed (1.00 is the floor; more is quicker)."""
    listed = list(rows)
    reference = next(row for row in listed if row.name == floor)
    table = Table(title=title, title_justify="left")
    for heading in ("", "seconds", "MB/s", f"speed / {floor}"):
        table.add_column(heading, justify="left" if not heading else "right")
    for row in listed:
        table.add_row(row.name, f"{row.seconds:.2f}", f"{row.speed:.0f}", f"{row.speed / reference.speed:.2f}")
    console.print(table)


def fill(folder: Path, count: int, size: int) -> int:
    """Write so many files of pseudo-random bytes of this size; return the sum of the bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    block = os.urandom(min(size, 4 * MIB))
    for number in range(count):
        with (folder / f"f{number:06}.bin").open("wb") as file:
            left = size
            stamp = number.to_bytes(8, "big")
            while left:
                piece = (stamp + block)[: min(left, len(block))]
                file.write(piece)
                left -= len(piece)
    return count * size


def drop_caches() -> None:
    """Write back and drop the page cache (root only; elsewhere nothing happens)."""
    os.sync()
    if os.geteuid() == 0:
        Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
