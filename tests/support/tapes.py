"""A node with a virtual tape library, and what a person would do at its door."""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hardware.ltfs import VirtualMedium, Volume
from hardware.tape.library import Library
from hardware.tape.virtual import VirtualChanger
from tests.support.nodes import Bench, eventually
from vault.api.tape_alerts import of_tapes
from vault.catalog import cartridges
from vault.formats.ocfl import object_id, object_path
from vault.intake.unpack import RESERVED
from vault.model import Copy, CopyState
from vault.tape_model import Cartridge

T = TypeVar("T")
ONE = ("VLT001L8",)
POLICY = '[[policy]]\nname = "default"\ndisk = 2\ntape = 1\nreceipt_after = 2'


class TapeBench(Bench):
    """A bench whose policy asks for a copy on tape; its library is the folder ``library``."""

    def __init__(
        self,
        folder: Path,
        barcodes=ONE,
        *,
        capacity_mb=256,
        slots=8,
        library_extra="",
        policies=POLICY,
        extra="",
        **config,
    ) -> None:
        self.library = folder / "library"
        if not self.library.exists():
            with VirtualChanger.create(self.library, drives=1, slots=slots) as changer:
                for barcode in barcodes:
                    changer.add_cartridge(barcode, capacity_mb=capacity_mb)
        tables = (
            f'[[library]]\nname = "lib"\nkind = "virtual"\npath = "{self.library}"\n'
            f'mount_after_age = "0s"\ninventory_interval = "1s"\n{library_extra}\n{extra}\n'
        )
        super().__init__(folder, policies=tables + policies, **config)

    def tape_copies(self, identifier: str, number: int | None = None) -> dict[tuple[str, int], Copy]:
        disks = {volume.name for volume in self.settings.volumes}
        return {key: copy for key, copy in self.copies(identifier, number).items() if key[0] not in disks}

    def good_tapes(self, identifier: str, number: int | None = None) -> set[str]:
        found = self.tape_copies(identifier, number)
        return {barcode for (barcode, _), copy in found.items() if copy.state is CopyState.GOOD}

    def cartridge(self, barcode: str) -> Cartridge:
        with self.running.catalogue.read() as tx:
            return cartridges.need(tx, barcode)

    def told(self) -> dict[str, str]:
        """What the sysadmin is told of the tapes now, in ``vaultctl status`` and the API: a text by its code."""
        with self.running.catalogue.read() as tx:
            alerts = list(of_tapes(self.running.tape_desk, tx))
        found: dict[str, str] = {}
        for alert in alerts:
            found[alert.code] = f"{found.get(alert.code, '')}{alert.message} {alert.remedy}\n"
        return found

    def wait_told(self, code: str, *words: str, seconds: float = 30) -> str:
        """Wait until it is told, in words that say what is wrong and what to do; the text."""
        return eventually(
            lambda: all(word in self.told().get(code, "") for word in words) and self.told().get(code),
            seconds,
            lambda: f"{code} {words} in {self.told()} {self.tape_problem()}",
        )

    def hands(self, act: Callable[[VirtualChanger], T]) -> T:
        """What a person does at the door of the library, between two jobs of the node."""

        def acted(library: Library) -> T:
            assert isinstance(library.changer, VirtualChanger)
            return act(library.changer)

        return self.running.librarians["lib"].call(acted)

    def tape_problem(self) -> str:
        views = [librarian.view() for librarian in self.running.librarians.values()]
        return f"{views} {self.open_tasks()} {[(c.volume, str(c.state), c.reason) for c in self.all_copies()]}"

    def wait_for_tape(self, identifier: str, number: int | None = None, seconds: float = 60) -> str:
        """Wait for a good copy on tape; the barcode of the cartridge."""
        return min(eventually(lambda: self.good_tapes(identifier, number), seconds, self.tape_problem))

    def records(self, barcode: str) -> list[Path]:
        """The data records of a cartridge, in tape order."""
        found = [
            path for path in (self.library / barcode).iterdir() if path.name.startswith("1_") and "_R" in path.name
        ]
        return sorted(found, key=lambda path: int(path.name.split("_")[1]))

    def assert_on_tape(self, identifier: str, number: int, barcode: str) -> None:
        """As a stranger would find it: our words for nothing, but the LTFS format and tar."""
        kept = self.kept[identifier, number]
        found = read_tar_from(self.library / barcode, tape_path(identifier, number))
        inventory = json.loads(found["inventory.json"])
        logical = {}
        for digest, names in inventory["versions"][f"v{number}"]["state"].items():
            content = inventory["manifest"][digest][0]
            for name in names:
                if name != RESERVED and content in found:
                    logical[name] = hashlib.sha512(found[content]).hexdigest()
        assert logical == {name: kept.files[name] for name in logical}
        assert logical


def tape_path(identifier: str, number: int) -> str:
    return f"packages/{object_path(object_id(identifier))}/v{number}.tar"


def read_tar_from(cartridge: Path, path: str) -> dict[str, bytes]:
    medium = VirtualMedium.open(cartridge)
    try:
        with Volume.open(medium) as volume:
            data = b"".join(volume.read(volume.find(path)))
    finally:
        medium.close()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {m.name: archive.extractfile(m).read() for m in archive.getmembers() if m.isfile()}
