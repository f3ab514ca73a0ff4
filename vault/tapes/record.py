"""The only place where what is known of a cartridge changes: each change with its event, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final
from uuid import UUID

from hardware.tape import barcodes
from hardware.tape.barcodes import Kind
from vault.catalog import cartridges, facts
from vault.catalog import volumes as catalog_volumes
from vault.catalog.engine import Tx
from vault.clock import from_text, to_text
from vault.config import PoolSettings
from vault.ledger import append
from vault.model import Condition, EventType, Json, MediumClass, NewEvent, Outcome, Volume, VolumeMode
from vault.tape_model import Adopted, Cartridge, CartridgeState, Clearing, Whereabouts
from vault.tapes.context import TAPE

_FORMATTING: Final = "tapes.formatting"
"""Fact of the node: the barcodes of blank cartridges whose formatting was begun, and not concluded."""
_CLEARING: Final = "tapes.clearing"
"""Fact of the node: the suspect cartridges that are to be read through, by barcode, with how far each is."""


def told(
    tx: Tx,
    kind: EventType,
    agent: str,
    barcode: str,
    detail: Mapping[str, Json],
    outcome: Outcome = Outcome.SUCCESS,
) -> None:
    """Write an event about a cartridge (``barcode`` may be empty: about a library)."""
    append(tx, NewEvent(kind, outcome, agent, volume=barcode, detail=detail))


def added(
    tx: Tx, agent: str, barcode: str, *, library: str, generation: str, state: CartridgeState, reason: str, element: str
) -> Cartridge:
    """A cartridge was seen for the first time."""
    made = cartridges.add(
        tx, barcode, library=library, generation=generation, state=state, reason=reason, element=element
    )
    told(tx, EventType.CARTRIDGE_ADDED, agent, barcode, {"library": library, "state": str(state), "reason": reason})
    return made


def placed(
    tx: Tx,
    agent: str,
    cartridge: Cartridge,
    whereabouts: Whereabouts,
    *,
    element: str = "",
    shelf: str | None = None,
    reason: str = "",
) -> None:
    """It came into its library, was taken out, or is not where it was. Its copies can or cannot be reached now, for
    this ``reason`` where one is given."""
    cartridges.place(tx, cartridge.barcode, whereabouts, element=element, shelf=shelf)
    if whereabouts is not Whereabouts.LIBRARY:
        # Out of the node's hands anything may come onto it: what it bears then is no longer known for our own.
        formatting(tx, cartridge.barcode, begun=False)
    volume = catalog_volumes.get(tx, cartridge.barcode)
    if volume is not None:
        here = whereabouts is Whereabouts.LIBRARY
        reason = "" if here else reason or f"It is {whereabouts}{f' ({shelf})' if shelf else ''}."
        condition = Condition.ONLINE if here else Condition.OFFLINE
        catalog_volumes.set_condition(tx, volume.id, condition, reason, volume.size_bytes, volume.free_bytes)
    told(
        tx,
        EventType.CARTRIDGE_CHANGED,
        agent,
        cartridge.barcode,
        {
            "was": str(cartridge.whereabouts),
            "is": str(whereabouts),
            "element": element,
            "shelf": cartridge.shelf if shelf is None else shelf,
        },
        Outcome.WARNING if whereabouts is Whereabouts.OFFLINE else Outcome.SUCCESS,
    )


def state(tx: Tx, agent: str, barcode: str, to: CartridgeState, reason: str = "") -> None:
    """It is good for something else from now on. Nothing happens where it was that already.

    Of what bears somebody else's data the volume is not there, whatever its label says.
    """
    before = cartridges.need(tx, barcode)
    if before.state is to:
        return
    cartridges.set_state(tx, barcode, to, reason)
    if before.state is CartridgeState.SUSPECT:
        _put_clearing(tx, barcode, None)
    volume = catalog_volumes.get(tx, barcode)
    if volume is not None and CartridgeState.FOREIGN in (to, before.state):
        foreign = to is CartridgeState.FOREIGN
        condition, why = (Condition.FOREIGN, reason) if foreign else (Condition.ONLINE, "")
        catalog_volumes.set_condition(tx, volume.id, condition, why, volume.size_bytes, volume.free_bytes)
    worse = to in (CartridgeState.SUSPECT, CartridgeState.FOREIGN)
    told(
        tx,
        EventType.CARTRIDGE_CHANGED,
        agent,
        barcode,
        {"was": str(before.state), "is": str(to), "reason": reason},
        Outcome.WARNING if worse else Outcome.SUCCESS,
    )


def looked_at_anew(tx: Tx, agent: str, cartridge: Cartridge) -> None:
    """It came back, or somebody says that it is in order now: what it was found to be before no longer holds. What is
    on it is found out when it is loaded next, before anything is written to it.

    One that is not whole stays as it is, and so does one that nothing was found wrong with.
    """
    if not cartridge.reason or cartridge.state not in (CartridgeState.FOREIGN, CartridgeState.READ_ONLY):
        return
    if barcodes.parse(cartridge.barcode).kind is Kind.WORM:
        return
    if cartridge.adopted is not Adopted.OURS:
        to = CartridgeState.READ_ONLY
    else:
        to = CartridgeState.APPENDABLE if cartridge.volume_id is not None else CartridgeState.SCRATCH
    state(tx, agent, cartridge.barcode, to)


def clearings(tx: Tx) -> dict[str, Clearing]:
    """The suspect cartridges that are to be read through, by barcode."""
    found = facts.get(tx, _CLEARING)
    stored = found if isinstance(found, dict) else {}
    return {
        barcode: Clearing(**{**one, "since": from_text(str(one["since"]))})  # type: ignore[arg-type]  # as it was put
        for barcode, one in stored.items()
        if isinstance(one, dict)
    }


def clearing_ordered(tx: Tx, agent: str, barcode: str) -> None:
    """A person wants the doubt about a suspect cartridge ended."""
    _put_clearing(tx, barcode, Clearing(barcode, agent, tx.now))
    told(tx, EventType.CARTRIDGE_CHANGED, agent, barcode, {"clear": "ordered"})


def clearing_read(tx: Tx, clearing: Clearing) -> None:
    """So far it was read. Nothing is noted where the order is no longer there."""
    if clearing.barcode in clearings(tx):
        _put_clearing(tx, clearing.barcode, clearing)


def cleared(tx: Tx, clearing: Clearing, to: CartridgeState, drive: str) -> None:
    """Everything on it was read back and is right: it is good for this again. ``drive`` is where that was."""
    told(tx, EventType.CARTRIDGE_CHANGED, clearing.agent, clearing.barcode, _clearing_told("intact", clearing, drive))
    state(tx, clearing.agent, clearing.barcode, to)


def not_cleared(tx: Tx, clearing: Clearing, reason: str, drive: str) -> None:
    """It was read, and something is wrong with it: it stays suspect, for this reason."""
    cartridges.set_state(tx, clearing.barcode, CartridgeState.SUSPECT, reason[:1000])
    _put_clearing(tx, clearing.barcode, None)
    detail = {**_clearing_told("damaged", clearing, drive), "reason": reason[:1000]}
    told(tx, EventType.CARTRIDGE_CHANGED, clearing.agent, clearing.barcode, detail, Outcome.FAILURE)


def _clearing_told(how: str, clearing: Clearing, drive: str) -> dict[str, Json]:
    return {"clear": how, "files": clearing.files, "bytes": clearing.bytes, "bad": clearing.bad, "drive": drive}


def _put_clearing(tx: Tx, barcode: str, clearing: Clearing | None) -> None:
    found = facts.get(tx, _CLEARING)
    stored = {key: one for key, one in found.items() if key != barcode} if isinstance(found, dict) else {}
    if clearing is not None:
        stored[barcode] = {**asdict(clearing), "since": to_text(clearing.since)}
    if stored != (found or {}):
        facts.put(tx, _CLEARING, stored or None)


def formatting(tx: Tx, barcode: str, *, begun: bool) -> None:
    """The formatting of a blank cartridge begins, or is over, or can no longer be told from somebody else's."""
    before = formatting_begun(tx)
    after = before | {barcode} if begun else before - {barcode}
    if after != before:
        facts.put(tx, _FORMATTING, [*sorted(after)])


def formatting_begun(tx: Tx) -> frozenset[str]:
    """The barcodes of blank cartridges whose formatting was begun and not concluded."""
    found = facts.get(tx, _FORMATTING)
    return frozenset(str(barcode) for barcode in found) if isinstance(found, list) else frozenset()


def formatted(tx: Tx, agent: str, barcode: str, uuid: UUID, pool: PoolSettings, *, detail: str = "") -> int:
    """It bears a volume of this pool now; return the volume's number in the catalogue."""
    volume = catalog_volumes.get(tx, barcode)
    if volume is None:
        volume = catalog_volumes.register(
            tx, uuid=uuid, name=barcode, kind=TAPE, medium=MediumClass.TAPE, domain=pool.set, site=pool.site
        )
    else:
        cartridges.rewritten(tx, volume.id, uuid)
        catalog_volumes.describe(tx, volume.id, domain=pool.set, site=pool.site)
        if volume.mode is VolumeMode.RETIRED:
            catalog_volumes.set_mode(tx, volume.id, VolumeMode.ACTIVE)
    catalog_volumes.set_condition(tx, volume.id, Condition.ONLINE, "", None, None)
    to = CartridgeState.APPENDABLE
    cartridges.formatted(tx, barcode, volume_id=volume.id, pool=pool.name, state=to)
    _put_clearing(tx, barcode, None)
    told(
        tx,
        EventType.CARTRIDGE_FORMATTED,
        agent,
        barcode,
        {"uuid": str(uuid), "pool": pool.name, "set": pool.set, "is": str(to), "before": detail},
    )
    return volume.id


@dataclass(frozen=True, slots=True)
class Found:
    """What is on a cartridge that is adopted. ``domain`` and ``site`` are those of its volume in the catalogue."""

    kind: Adopted
    origin: str
    uuid: UUID
    domain: str
    site: str
    generation: int
    files: int


def adopted(tx: Tx, barcode: str, found: Found, reason: str = "") -> Volume:
    """It was brought from elsewhere, and is only read from now on. The event is the caller's.

    Raises Conflict (``volume-exists``) where its volume is known under another barcode, or another under its barcode.
    """
    volume = catalog_volumes.get(tx, barcode)
    if volume is None or volume.uuid != found.uuid:
        volume = catalog_volumes.register(
            tx, uuid=found.uuid, name=barcode, kind=TAPE, medium=MediumClass.TAPE, domain=found.domain, site=found.site
        )
        catalog_volumes.set_condition(tx, volume.id, Condition.ONLINE, "", None, None)
    cartridges.adopted(
        tx, barcode, found.kind, volume_id=volume.id, origin=found.origin, generation=found.generation,
        files=found.files, reason=reason,
    )  # fmt: skip
    return volume


def recognised(tx: Tx, agent: str, barcode: str, volume: Volume, pool: str, to: CartridgeState) -> None:
    """A cartridge was seen whose volume the catalogue knows, as a rebuild entered it."""
    cartridges.formatted(tx, barcode, volume_id=volume.id, pool=pool, state=to)
    catalog_volumes.set_condition(tx, volume.id, Condition.ONLINE, "", volume.size_bytes, volume.free_bytes)
    told(tx, EventType.CARTRIDGE_CHANGED, agent, barcode, {"uuid": str(volume.uuid), "pool": pool, "is": str(to)})


def asked_for(tx: Tx, agent: str, barcode: str, reason: str) -> None:
    """It is needed and not in its library. Asking again changes nothing but the reason."""
    if cartridges.ask_for(tx, barcode, reason):
        told(tx, EventType.MOUNT_REQUESTED, agent, barcode, {"reason": reason})


def request_ended(tx: Tx, agent: str, barcode: str, why: str) -> bool:
    """It came, or is no longer needed; whether it had been asked for."""
    ended = cartridges.end_request(tx, barcode, agent)
    if ended:
        told(tx, EventType.MOUNT_ENDED, agent, barcode, {"why": why})
    return ended
