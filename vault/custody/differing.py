"""Where in a file that is not as it must be the first wrong byte stands, told by another copy that is at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from vault.catalog import copies
from vault.catalog import volumes as catalog_volumes
from vault.custody.context import Custodian, part_of
from vault.errors import VaultError
from vault.model import READABLE, Copy, CopyState, Version
from vault.volumes.base import Cancelled, CheckReport, Finding, FindingKind, Volume

MOST_COMPARED = 10
"""Of a copy with more wrong files it is known enough."""


def located(
    custodian: Custodian, version: Version, copy: Copy, report: CheckReport, cancelled: Cancelled
) -> CheckReport:
    """The report, with the offset of the first byte that differs from a good copy in the first of its mismatches.

    Where no other copy is at hand, or none can be read, it stays as it is: nothing depends on this.
    """
    wrong = [
        f
        for f in report.findings
        if f.kind is FindingKind.MISMATCH and f.path.startswith(f"v{version.number}/content/")
    ]
    if not wrong:
        return report
    other = _other(custodian, version, copy)
    if other is None:
        return report
    mine = custodian.volume(copy.volume)
    found = {one: _compare(mine, other, part_of(version).object_id, one, cancelled) for one in wrong[:MOST_COMPARED]}
    return dataclasses.replace(report, findings=tuple(found.get(one, one) for one in report.findings))


def _other(custodian: Custodian, version: Version, copy: Copy) -> Volume | None:
    with custodian.catalogue.read() as tx:
        readable = {volume.name for volume in catalog_volumes.all(tx) if volume.condition in READABLE}
        beside = [c for c in copies.of_version(tx, version.id) if c.id != copy.id and c.state is CopyState.GOOD]
    names = sorted(c.volume for c in beside if c.volume in readable and c.volume in custodian.volumes)
    return custodian.volume(names[0]) if names else None


def _compare(mine: Volume, other: Volume, object_id: str, finding: Finding, cancelled: Cancelled) -> Finding:
    try:
        offset = first_difference(mine.read(object_id, finding.path), other.read(object_id, finding.path), cancelled)
    except VaultError:
        return finding
    return finding if offset is None else dataclasses.replace(finding, offset=offset, beside=other.name)


def first_difference(one: Iterator[memoryview], other: Iterator[memoryview], cancelled: Cancelled) -> int | None:
    """The offset of the first byte in which two streams differ; where one ends first, its length. None where they are
    equal, or it was cancelled."""
    offset, left, right = 0, memoryview(b""), memoryview(b"")
    while not cancelled():
        left = left or next(one, memoryview(b""))
        right = right or next(other, memoryview(b""))
        if not left or not right:
            return offset if left or right else None
        size = min(len(left), len(right))
        if left[:size] != right[:size]:
            return offset + next(n for n in range(size) if left[n] != right[n])
        offset += size
        left, right = left[size:], right[size:]
    return None
