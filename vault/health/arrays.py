"""What the state of an array means for the volumes on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from hardware.arrays import Array, ArrayState
from hardware.stack import Stack
from vault.device_model import Health
from vault.health.volumes import Finding

_MEANING: Final = {
    ArrayState.REBUILDING: (Health.WATCH, "is being rebuilt and has no full redundancy yet"),
    ArrayState.DEGRADED: (Health.FAILING, "has lost its redundancy: the next disk that fails takes everything"),
    ArrayState.FAILED: (Health.FAILED, "has failed"),
    ArrayState.UNKNOWN: (Health.UNKNOWN, "does not tell how it is"),
}


def findings(stack: Stack, known: Iterable[Array]) -> Iterator[Finding]:
    """What is amiss with the arrays that a path stands on."""
    for array in known:
        if array.name in stack.arrays:
            if array.state in _MEANING:
                health, words = _MEANING[array.state]
                lacks = f" ({array.missing} missing)" if array.missing else ""
                yield Finding(health, f"The array {array.name} ({array.kind} {array.level}) {words}{lacks}.")
            if array.errors:
                text = f"The array {array.name} ({array.kind}) has counted {array.errors} errors on its devices."
                yield Finding(Health.WATCH, text)
