"""The helper that may open disks: it asks each one, writes the report, and ends. Command: ``khoso-smart``.
It also asks for what only root is told of arrays (:mod:`hardware.array_tools`).

It runs as root from a timer (systemd/vault-smart.timer), listens to nobody, and opens nothing but disks; of the node's
configuration it reads how often disks are to test themselves, and has the one do so that is due. Sleeping disks are not
woken. Exit status: 0 the report is written, whatever it says; 1 it is not.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hardware import array_report, array_tools, blocks
from hardware.errors import HardwareError, NotFound
from hardware.smart import report, schedule, second
from hardware.smart.facts import NOBODY, DiskFacts, Identity, Reading
from hardware.smart.jsontools import EMPTY, inner, text
from hardware.smart.run import PATIENCE, Answer, PatientSmartctl, Place
from hardware.smart.schedule import Due, Schedule

AT_ONCE: Final = 8
MOST_OF_ONE: Final = 256 << 10
"""Bytes that the answer of one disk may take in the report."""

_SEARCHED: Final = "/usr/sbin:/sbin:/usr/bin:/bin:/usr/local/sbin"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command ``khoso-smart``."""
    parser = argparse.ArgumentParser(prog="khoso-smart", description="Ask the disks how they are (smartctl).")
    parser.add_argument(
        "--output", type=Path, default=report.FOLDER, help="folder of the report (default: %(default)s)"
    )
    parser.add_argument("--smartctl", default="", help="the program (default: found in the usual folders)")
    parser.add_argument("--patience", type=float, default=PATIENCE, help="seconds for one disk (default: %(default)s)")
    parser.add_argument(
        "--config", type=Path, help="the node's configuration, for how often disks test themselves (default: never)"
    )
    options = parser.parse_args(arguments)
    program = options.smartctl or shutil.which("smartctl", path=_SEARCHED)
    if not program:
        return _failed("There is no smartctl. Install it: apt install smartmontools")
    try:
        smartctl = PatientSmartctl(program, options.patience)
        # First: it takes a moment, and a disk that hangs takes minutes.
        array_report.write(options.output, array_tools.ask(), datetime.now(UTC))
        collect(smartctl, options.output)
        if options.config is not None:
            test_one(smartctl, options.output, schedule.from_config(options.config))
    except NotFound as error:  # there is no node yet: nobody said that disks are to test themselves
        print(f"khoso-smart: {error.message} No disk tests itself.")  # noqa: T201 - for the journal
    except HardwareError as error:  # the report is written all the same
        return _failed(str(error))
    except OSError as error:
        return _failed(f"{error.strerror}: {error.filename or options.output}")
    return 0


def collect(
    smartctl: PatientSmartctl,
    folder: Path,
    *,
    sysfs: Path = blocks.SYS,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Path:
    """Ask every disk and write the report. Raises OSError."""
    places = find_places(smartctl, sysfs, [Place(*seat) for seat in report.places_before(folder)])
    hanging = _still_hanging(folder)
    of_kernel = _of_kernel(sysfs)

    def entry(place: Place) -> report.Entry:
        known = of_kernel.get(place.device, NOBODY)  # of one behind a controller the kernel knows nothing
        name = report.place_name(place.device, place.kind)
        if name in hanging:
            answer = Answer(Reading.HUNG, left_behind=hanging[name], message="it still hangs from before")
        else:
            answer = smartctl.ask(place)
        document = report.trimmed(answer.document)
        reading, message = answer.reading, answer.message
        if len(json.dumps(document)) > MOST_OF_ONE:
            document, reading, message = {}, Reading.UNREADABLE, "its answer is longer than any can be"
        spoken = place.kind or text(inner(document, "device"), "type", 32)
        read = second.read(answer.lines, place.device, spoken) if reading is Reading.READ else second.Second()
        return report.Entry(
            place.device, place.kind, known, reading, document or EMPTY, read, answer.left_behind, message
        )

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="smartctl") as pool:
        entries = list(pool.map(entry, places))
    return report.write(folder, entries, now())


def find_places(smartctl: PatientSmartctl, sysfs: Path = blocks.SYS, before: Sequence[Place] = ()) -> list[Place]:
    """Where to ask: what smartctl lists, and the kernel's disks that are not among it. Where it does not come to list
    them, the places of the round ``before``: disks behind a controller are not gone because nobody named them."""
    listing = smartctl.places()
    found = [place for place in (before if listing is None else listing) if place.device.startswith("/dev/")]
    listed = {place.device for place in found}
    for disk in blocks.whole_disks(sysfs):
        device = blocks.smart_device(disk.name)
        # Disks of a hypervisor (vd, xvd) and cards have no self-monitoring to ask for.
        if device not in listed and disk.name.startswith(("sd", "nvme", "hd")):
            listed.add(device)
            found.append(Place(device))
    return found[: report.MOST_DISKS]


def _of_kernel(sysfs: Path) -> Mapping[str, Identity]:
    """Who the kernel takes the disks for, by device; of the namespaces of an NVMe disk the first counts."""
    found: dict[str, Identity] = {}
    for disk in blocks.whole_disks(sysfs):
        found.setdefault(blocks.smart_device(disk.name), Identity(disk.key, disk.serial, disk.wwn, disk.model, ""))
    return found


def _still_hanging(folder: Path) -> Mapping[str, int]:
    """Devices whose smartctl of an earlier round is still there: another one would hang beside it."""
    try:
        before = report.read(folder / report.NAME)
    except HardwareError:
        return {}
    return {device: process for device, process in before.left_behind.items() if _is_smartctl(process)}


def _is_smartctl(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/comm").read_text("ascii", "replace").startswith("smartctl")
    except OSError:
        return False


def test_one(smartctl: PatientSmartctl, folder: Path, wanted: Schedule) -> Due | None:
    """Begin the one self-test that is due by the report just written; what was begun. Raises OSError."""
    found = report.read(folder / report.NAME)
    tried = schedule.read_tried(folder)
    disks = [(place, facts) for facts in found.disks if (place := _place(facts)) is not None]
    one = schedule.due(disks, wanted, tried, found.taken_at)
    if one is None:
        return None
    # Noted first: a disk that hangs on it, or refuses, is left alone until tomorrow.
    kept = {key: moment for key, moment in tried.items() if found.taken_at - moment < schedule.AGAIN}
    schedule.write_tried(folder, kept | {one.key: found.taken_at})
    ended = smartctl.start_self_test(one.place, one.kind.value)
    outcome = "it did not answer" if ended.status is None else f"smartctl ended with {ended.status}"
    print(f"{one.place.device} {one.place.kind} ({one.key}): {one.kind} self-test: {outcome}")  # noqa: T201 - journal
    return one


def _place(facts: DiskFacts) -> Place | None:
    """Where a disk of the report is asked; behind a controller the report gives the type with the device."""
    device, _, kind = facts.device.partition(" ")
    return Place(device, kind) if device.startswith("/dev/") else None


def _failed(message: str) -> int:
    print(f"khoso-smart: {message}", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
