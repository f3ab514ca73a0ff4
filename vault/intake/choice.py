"""Which volume a deposit goes to first."""

from __future__ import annotations

from collections.abc import Mapping

from vault import policy as policies
from vault.catalog import copies
from vault.catalog import volumes as catalog_volumes
from vault.custody.context import Custodian, part_of
from vault.custody.transfer import find_inventory
from vault.errors import Full, Unreachable, VaultError
from vault.formats.ocfl.inventory import Inventory
from vault.formats.ocfl.reading import parse_inventory
from vault.model import Condition, CopyState, Descriptive, Version, Volume, VolumeMode
from vault.units import format_bytes

_STANDING = (CopyState.WRITTEN, CopyState.GOOD, CopyState.SUSPECT)


def choose_volume(
    custodian: Custodian, descriptive: Descriptive, head: Version | None, need_bytes: int, wanted: str = ""
) -> tuple[Volume, Inventory | None]:
    """The volume for the first copy, and for a later version the inventory that it continues.

    A later version goes where the earlier ones stand, for an OCFL object has no gaps; a first one to the volume
    ``wanted``, where one is named. Raises Full, Unreachable.
    """
    with custodian.catalogue.read() as tx:
        volumes = [v for v in catalog_volumes.all(tx) if v.name in custodian.volumes]
        earlier = [] if head is None else copies.of_package(tx, head.package_id)
    if head is not None:
        counted = [c.volume_id for c in earlier if c.state in _STANDING]
        volumes = [v for v in volumes if counted.count(v.id) == head.number]
    elif wanted:
        volumes = [v for v in volumes if v.name == wanted]
    reserve = {v.name: custodian.settings.volume(v.name).reserve for v in volumes}
    found = policies.choose_targets(
        custodian.settings.policy_for(descriptive),
        [],
        volumes,
        [v.id for v in volumes] if head is not None else (),
        need_bytes=need_bytes,
        reserve=reserve,
    )
    if not found:
        raise _nowhere(volumes, need_bytes, reserve)
    if head is None:
        return found[0], None
    # That of the chosen volume first; should it be damaged there, a check will say so and another one has it too.
    sources = [custodian.volume(v.name) for v in sorted(volumes, key=lambda v: v.id != found[0].id)]
    return found[0], parse_inventory(find_inventory(part_of(head), sources, {}))


def choose_any(custodian: Custodian, descriptive: Descriptive, need_bytes: int) -> Volume:
    """A volume on which bytes can be received that will not stay there. Raises Full, Unreachable."""
    return choose_volume(custodian, descriptive, None, need_bytes)[0]


def _nowhere(volumes: list[Volume], need_bytes: int, reserve: Mapping[str, int]) -> VaultError:
    listed = "; ".join(_told(volume, reserve[volume.name]) for volume in volumes) or "there is none"
    if any(v.condition is Condition.ONLINE and v.mode is VolumeMode.ACTIVE for v in volumes):
        return Full(
            f"No volume has room for {format_bytes(need_bytes, 'en')} more ({listed}).",
            remedy="Free or extend a volume, lower its reserve, or add one; then send it again.",
        )
    return Unreachable(
        f"No volume can be written to now ({listed}).",
        remedy="Look at `vaultctl volumes` on the archive server; the deposit can be sent again unchanged.",
        code="no-volume",
    )


def _told(volume: Volume, reserve: int) -> str:
    state = f"{volume.name} is {volume.mode} and {volume.condition}"
    if volume.free_bytes is None:
        return state
    kept = f", of which {format_bytes(reserve, 'en')} are its reserve" if reserve else ""
    return f"{state}, {format_bytes(volume.free_bytes, 'en')} free{kept}"
