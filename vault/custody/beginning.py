"""A volume begins: an empty place of the configuration gets its identity, once.

A name that the catalogue knows is never begun again: an empty place under it is a dead or an unmounted medium, and a
new identity there would pass for the old one, with all its copies.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from vault.catalog import Catalogue
from vault.catalog import volumes as catalog_volumes
from vault.errors import Refused
from vault.volumes.base import Volume, VolumeIdentity


def begin(catalogue: Catalogue, volume: Volume, node: str) -> None:
    """Write a new identity to the volume's empty place; the watch enters it into the catalogue.

    Raises Refused (``already-initialised``, ``volume-known``, ``not-empty``), WrongVolume (``not-mounted``),
    Unreachable, Full.
    """
    with catalogue.read() as tx:
        known = catalog_volumes.get(tx, volume.name)
    if known is not None and volume.probe().identity is None:
        raise Refused(
            f"The volume {volume.name!r} is known: it was begun on {known.added_at:%Y-%m-%d}, and its medium is not at"
            " its place. Nothing was changed.",
            remedy="Mount it. If it is lost for good, a new medium takes its place: vaultctl volumes replace"
            f" {volume.name}",
            code="volume-known",
        )
    volume.initialise(new_identity(volume, node, catalogue.clock()))


def new_identity(volume: Volume, node: str, now: datetime) -> VolumeIdentity:
    """An identity that no other volume has."""
    return VolumeIdentity(uuid.uuid4(), volume.name, volume.domain, volume.site, node, now)
