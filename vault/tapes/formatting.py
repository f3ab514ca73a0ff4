"""Making a cartridge one of a pool. That a blank one is being formatted is noted before: what a kill or a failing drive
left of it is then known for what it is, and not taken for somebody else's data."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from hardware.tape.library import Library
from hardware.tape.own_session import said
from hardware.tape.recognise import ONLY_SECOND
from hardware.tape.session import Blank, CartridgeSession, Content, LtfsVolume, OtherData, Unreadable
from vault.catalog import copies, packages
from vault.catalog import volumes as catalog_volumes
from vault.config import PoolSettings
from vault.custody import record as custody_record
from vault.errors import Refused
from vault.model import CopyState, Volume, VolumeMode
from vault.tape_model import OWN_EARLIER, CartridgeState, own_earlier_remedy
from vault.tapes import holding, record
from vault.tapes.context import Tapes

_BATCH: Final = 500


def format_scratch(
    tapes: Tapes, library: Library, session: CartridgeSession, pool: PoolSettings, barcode: str
) -> Volume:
    """Format a blank cartridge for a pool. Raises Refused (``cartridge-not-blank``) for one that holds anything."""
    content = session.recognise()
    if not is_blank(tapes, barcode, content):
        if isinstance(content, Unreadable):
            holding.failed(tapes, library, barcode, session.drive, content.reason)
        reason = f"It is not blank: {said(content)}."
        remedy = f"If nobody needs it: vaultctl tapes format {barcode} --pool {pool.name} --erase {barcode}"
        if isinstance(content, LtfsVolume) and content.name.startswith(f"{tapes.settings.node.name} "):
            reason, remedy = f"{reason} {OWN_EARLIER}", own_earlier_remedy(barcode)
        with tapes.custodian.catalogue.write() as tx:
            record.state(tx, tapes.agent, barcode, CartridgeState.FOREIGN, reason)
        raise Refused(
            f"The cartridge {barcode} is not written. {reason}",
            remedy=remedy,
            code="cartridge-not-blank",
        )
    return make_volume(tapes, session, pool, barcode, content, tapes.agent)


def is_blank(tapes: Tapes, barcode: str, content: Content) -> bool:
    """Whether there is nothing on it, or nothing but what a formatting of ours left that did not come to its end."""
    if isinstance(content, Blank):
        return True
    with tapes.custodian.catalogue.read() as tx:
        if barcode not in record.formatting_begun(tx):
            return False
    if isinstance(content, LtfsVolume):
        return content.files == 0
    return isinstance(content, Unreadable) or (isinstance(content, OtherData) and content.found == ONLY_SECOND)


def give_up_copies(tapes: Tapes, barcode: str, agent: str) -> None:
    """What stands on a retired cartridge is noted to be no copy any more, before it is erased: nothing needs it, and a
    kill in between loses nothing."""
    while True:
        with tapes.custodian.catalogue.write() as tx:
            volume = catalog_volumes.get(tx, barcode)
            if volume is None or volume.mode is not VolumeMode.RETIRED:
                return
            page = copies.in_states(tx, [s for s in CopyState if s is not CopyState.RETIRED], _BATCH, volume.id)
            for copy in page:
                version = packages.need_version(tx, copy.version_id)
                custody_record.discarded(tapes.custodian, tx, version, copy, agent, "its cartridge is formatted anew")
        if len(page) < _BATCH:
            return


def make_volume(
    tapes: Tapes, session: CartridgeSession, pool: PoolSettings, barcode: str, content: Content, agent: str
) -> Volume:
    """Make an empty volume of the pool; whatever is on the cartridge is gone."""
    if isinstance(content, Blank):
        with tapes.custodian.catalogue.write() as tx:
            record.formatting(tx, barcode, begun=True)
    name = f"{tapes.settings.node.name} {pool.set} {barcode}"
    uuid = UUID(session.format(name=name, force=not isinstance(content, Blank)))
    with tapes.custodian.catalogue.write() as tx:
        record.formatted(tx, agent, barcode, uuid, pool, detail=said(content))
        record.formatting(tx, barcode, begun=False)
        volume = catalog_volumes.get(tx, barcode)
    assert volume is not None, "it was just registered"  # noqa: S101
    return volume
