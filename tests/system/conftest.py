"""Tests on whole machines: `make test-system` runs them, `make test` does not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.support.debian import LATER, MIGRATION, REPO
from tests.support.tools import require

LONGEST_FIRST = ("test_hardware.py", "test_tape_library.py", "test_guides.py")
"""What takes all the time that the whole takes begins at once; see Turns."""

NSPAWN = ("test_guides.py", "test_package.py", "test_service.py", "test_wheel.py")


class Turns(LoadFileScheduling):
    """As ``--dist loadfile``, but for files that take turns. They boot systemd in a folder of this machine, within the
    same control groups: a service that one of them kills dies in another too. A guest in QEMU is a machine of its own.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return "nspawn" if file.endswith(NSPAWN) else file


def pytest_xdist_make_scheduler(config, log):
    return Turns(config, log)


def pytest_collection_modifyitems(items):
    if os.environ.get("KHOSO_SYSTEM") == "1":
        # Files are handed out in the order in which they come here (--no-loadscope-reorder).
        items.sort(key=lambda item: LONGEST_FIRST.index(item.path.name) if item.path.name in LONGEST_FIRST else 9)
        return
    for item in items:
        if "system" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason="make test-system runs it"))


@pytest.fixture(scope="session")
def deb() -> Path:
    """The package, built from this checkout, unless KHOSO_DEB names one."""
    if given := os.environ.get("KHOSO_DEB"):
        return Path(given)
    require("dpkg-deb", "dpkg")
    done = subprocess.run(["make", "-s", "deb"], cwd=REPO, capture_output=True, text=True, timeout=1200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(done.stdout.split()[-1])


@pytest.fixture(scope="session")
def newer(deb, tmp_path_factory) -> Path:
    """The next version, whose catalogue has another form: a column with values, and an index, more."""
    tree = tmp_path_factory.mktemp("newer")
    subprocess.run(["dpkg-deb", "-R", str(deb), str(tree / "root")], timeout=300, check=True)
    version = subprocess.run(
        ["dpkg-deb", "-f", str(deb), "Version"], capture_output=True, text=True, timeout=60, check=True
    ).stdout.strip()
    for name in ("control", "preinst", "postinst"):
        path = tree / "root/DEBIAN" / name
        path.write_text(path.read_text().replace(version, f"{version}+1"))
    site = tree / "root/usr/lib/khoso/site-packages/vault/catalog/migrations/versions"
    newest = max(path.name.split("_")[1] for path in site.glob("rev_*.py"))
    (site / f"rev_{LATER}_later.py").write_text(MIGRATION.format(later=LATER, newest=newest))
    made = tree / "newer.deb"
    pack = ["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(tree / "root"), str(made)]
    subprocess.run(pack, timeout=300, check=True, capture_output=True)
    return made
