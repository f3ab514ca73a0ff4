"""Libraries as the configuration names them: what is lacking is told with its remedy."""

import pytest

from hardware.errors import HardwareError, Refused, Unreachable
from hardware.tape.errors import DriveVanished
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


def test_real_drives_need_the_ltfs_tools(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unreachable, match="mkltfs, ltfs, ltfsck") as caught:
        opened(tmp_path, kind="scsi")
    assert "tape-drive.md" in caught.value.remedy


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
    for name in ("mkltfs", "ltfs", "ltfsck"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(error) as caught:
        opened(tmp_path, kind="scsi", **facts)
    assert isinstance(caught.value, HardwareError)
    assert caught.value.remedy
