"""An emulated library of one drive at /dev/sg1, and an LTFS volume to load into it."""

import os

import pytest

from hardware.ltfs import VirtualMedium, WriteSession, format_volume
from tests.support.tape import DRIVE, NODE, STORAGE, emulated_library


@pytest.fixture(scope="module")
def files():
    """What is on the cartridge."""
    return {"lớn.tar": os.urandom(1_300_000), "nhỏ.txt": b"x" * 700, "một khối": os.urandom(524288)}


@pytest.fixture(scope="module")
def cartridge(tmp_path_factory, files):
    """A small LTFS volume, as a virtual cartridge."""
    path = tmp_path_factory.mktemp("cartridge") / "VLT001L8"
    with VirtualMedium.create(path) as medium:
        format_volume(medium, serial="VLT001", barcode="VLT001L8")
    with VirtualMedium.open(path, write=True) as medium, WriteSession.open(medium) as session:
        for name, data in files.items():
            session.append(name, [data])
        session.commit()
    return path


@pytest.fixture(scope="module")
def _library(tmp_path_factory):
    with emulated_library(tmp_path_factory.mktemp("library"), drives=1) as library:
        yield library


@pytest.fixture
def library(_library):
    """An empty library of one drive at /dev/sg1."""
    _library.do("take", kind=DRIVE, number=0)
    _library.do("take", kind=STORAGE, number=0)
    _library.do("set", node=NODE, faults=[], alerts=[], bad=[], loading=0, unloaded=False, lost=False,
                divided=True, tells_partitions=True, descriptor_sense=False)  # fmt: skip
    _library.do("set", node=_library.changer, faults=[], door_open=False)
    return _library


@pytest.fixture
def loaded(library, cartridge):
    """The same with the cartridge in the drive."""
    library.do("put", kind=DRIVE, number=0, barcode="VLT001L8", folder=str(cartridge), home=0)
    return library
