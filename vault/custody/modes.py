"""What an operator wants of a volume from now on: active, read-only, evacuating, retired."""

from __future__ import annotations

from vault import policy as policies
from vault.catalog import copies, packages
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.custody.context import Custodian
from vault.errors import NotFound, Refused
from vault.identifiers import package_reference
from vault.ledger import append
from vault.model import CopyState, EventType, NewEvent, Outcome, Version, Volume, VolumeMode

_BATCH = 500


def change_mode(custodian: Custodian, name: str, mode: VolumeMode, agent: str) -> None:
    """Record it, with its event. Every version is then judged anew, and the planner does what follows.

    Only what was evacuated can be retired: no version may need a copy that is on it. Raises NotFound, Refused.
    """
    with custodian.catalogue.read() as tx:
        before = _known(tx, name)
    if mode is VolumeMode.RETIRED and before.mode is not VolumeMode.RETIRED:
        _check_not_needed(custodian, before)
    with custodian.catalogue.write() as tx:
        now = _known(tx, name)
        if now.mode is not before.mode:
            raise Refused(
                f"The mode of the volume {name!r} was changed by somebody else at the same moment.",
                remedy="Look at it, and try again.",
            )
        if now.mode is not mode:
            catalog_volumes.set_mode(tx, now.id, mode)
            append(
                tx,
                NewEvent(
                    EventType.VOLUME_CHANGED,
                    Outcome.SUCCESS,
                    agent,
                    volume=name,
                    detail={"was": str(now.mode), "is": str(mode), "reason": "ordered"},
                ),
            )
    custodian.wake()


def _known(tx: Tx, name: str) -> Volume:
    found = catalog_volumes.get(tx, name)
    if found is None:
        raise NotFound(
            f"There is no volume {name[:100]!r} that was ever seen.",
            remedy=f"Look at vaultctl volumes; a new one begins with: vaultctl volumes init {name[:100]}",
            code="no-such-volume",
        )
    return found


def _check_not_needed(custodian: Custodian, volume: Volume) -> None:
    """Raise Refused (``volume-needed``) when a version would be below its policy without this volume."""
    if volume.mode is not VolumeMode.EVACUATING:
        raise Refused(
            f"The volume {volume.name!r} is {volume.mode}; only one that was evacuated can be retired.",
            remedy=f"Evacuate it first (vaultctl volumes evacuate {volume.name}), and wait until it is done.",
            code="volume-needed",
        )
    version = needed_by(custodian, volume)
    if version is not None:
        raise Refused(
            f"{package_reference(version.identifier, version.number)} still needs its copy on {volume.name!r}.",
            remedy="Wait until vaultctl status says that the evacuation is done.",
            code="volume-needed",
        )


def needed_by(custodian: Custodian, volume: Volume) -> Version | None:
    """A version that would be below its policy without the copy that is on this volume; None if there is none."""
    held = [state for state in CopyState if state not in (CopyState.RETIRED, CopyState.PLANNED)]
    after = 0
    while True:
        with custodian.catalogue.read() as tx:
            page = copies.in_states(tx, held, _BATCH, volume.id, after)
            for copy in page:
                version = packages.version_by_id(tx, copy.version_id)
                if version is not None and _needs(custodian, tx, version, volume):
                    return version
        if len(page) < _BATCH:
            return None
        after = page[-1].id


def _needs(custodian: Custodian, tx: Tx, version: Version, volume: Volume) -> bool:
    others = [held for held in copies.of_version(tx, version.id) if held.volume_id != volume.id]
    standing = policies.standing(custodian.policy(version.policy), custodian.holdings(tx, others))
    return not standing.satisfied
