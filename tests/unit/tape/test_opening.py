"""Libraries as the configuration names them: what is lacking is told with its remedy."""

import pytest

from hardware.errors import HardwareError, Refused, Unreachable
from hardware.tape.errors import DriveVanished
from hardware.tape.libraries import mounted_sessions
from hardware.tape.library import Library
from hardware.tape.session import Blank
from hardware.tape.tools.acts import Tools
from hardware.tape.virtual import VirtualChanger
from hardware.tape.virtual_drive import VirtualPort
from vault.config.settings import LibrarySettings
from vault.tapes.opening import open_library


def opened(tmp_path, **facts):
    settings = LibrarySettings.model_construct(
        **{"name": "autoloader", "changer": "auto", "drives": "auto", "path": None, "slots": 4} | facts
    )
    return open_library(tmp_path, settings)


def test_a_virtual_library_is_made_and_found_again(tmp_path):
    for _ in range(2):
        with opened(tmp_path, kind="virtual", path=tmp_path / "library", drives=2) as library:
            assert len(library.inventory().drives) == 2


def test_a_library_without_the_ltfs_tools_does_all_but_write(tmp_path):
    tools = Tools(str(tmp_path), str(tmp_path), folder=str(tmp_path))
    with VirtualChanger.create(tmp_path / "library") as changer:
        changer.add_cartridge("VLT001L8", capacity_mb=64)
    changer = VirtualChanger(tmp_path / "library")
    with Library(
        changer, {0: VirtualPort(changer, 0)}, mounted_sessions(tools, tmp_path), lacking=tools.lacking
    ) as library:
        with library.load("VLT001L8") as session:
            assert session.recognise() == Blank()
        with pytest.raises(Unreachable, match=r"not installed \(mkltfs, ltfs, ltfsck\)") as caught:
            library.check_writes()
        assert "tape-drive.md" in caught.value.remedy
        for name in ("mkltfs", "ltfs", "ltfsck"):
            (tmp_path / name).write_text("#!/bin/sh\n")
            (tmp_path / name).chmod(0o755)
        library.check_writes()


@pytest.mark.parametrize(
    ("facts", "error"),
    [
        ({}, Refused),
        ({"changer": "/dev/sg-none"}, Unreachable),
        ({"changer": "none"}, Refused),
        ({"changer": "none", "drives": ("10WT012340",)}, DriveVanished),
    ],
)
def test_a_machine_without_the_hardware_says_what_is_missing(tmp_path, monkeypatch, facts, error):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(error) as caught:
        opened(tmp_path, kind="scsi", **facts)
    assert isinstance(caught.value, HardwareError)
    assert caught.value.remedy
