"""vaultctl init, as it is typed on a new machine: by flags and at a terminal, again, and where it cannot be done."""

from __future__ import annotations

import json
import os
import pty
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hardware.inventory import Device, Role
from hardware.mounts import Mount
from tests.support.daemon import Node
from tests.support.nodes import eventually
from vault.cli import main
from vault.cli.setup import compose, found
from vault.cli.setup.answers import distinct_names, read_volume, slug
from vault.config import load_settings
from vault.errors import Conflict, Invalid

ME = "root" if os.geteuid() == 0 else ""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def init(place, capsys):
    """Type vaultctl init for the machine in ``place``; what it printed."""

    def typed(*more: str, code: int = 0) -> tuple[str, str]:
        capsys.readouterr()
        ended = main(
            ["--config", str(place / "vault.toml"), "--socket", str(place / "s"), "init", *_me(), "--no-start", *more]
        )
        said = capsys.readouterr()
        assert ended == code, said
        return said.out, said.err

    return typed


def _me() -> list[str]:
    return ["--user", ME] if ME else []


def trial(place: Path) -> list[str]:
    """The flags of a trial: two folders of one disk."""
    volumes = [f"--volume={name}={place / name},mount=no" for name in ("a", "b")]
    return [*volumes, "--state", str(place / "state"), "--accept-shared-devices", "--no-tape", "--name", "son-la-1"]


def everything(place: Path) -> dict[str, bytes]:
    """What stands there, of all that must never be overwritten."""
    names = ("vault.toml", "state/node.key", "a/vault-volume.json", "b/vault-volume.json")
    return {name: (place / name).read_bytes() for name in names}


def test_one_command_makes_a_node_that_takes_deposits(place, init):
    out, err = init(*trial(place), "--token-out", str(place / "token"))
    assert "Nothing is wrong." in out
    assert "khoso_" not in out + err
    settings = load_settings(place / "vault.toml")
    assert settings.node.name == "son-la-1"
    assert settings.policies[0].receipt_after == 2
    assert stat.S_IMODE((place / "vault.toml").stat().st_mode) == 0o640
    assert stat.S_IMODE((place / "token").stat().st_mode) == 0o600
    assert stat.S_IMODE((place / "state/node.key").stat().st_mode) == 0o600
    node = Node(place)
    config = (place / "vault.toml").read_text().replace("[api]\n", '[api]\nlisten = "127.0.0.1:0"\n')
    (place / "vault.toml").write_text(config)
    node.start()
    try:
        (place / "paper.pdf").write_bytes(b"%PDF")
        receipt = place / "receipt.json"
        command = ["--url", node.address(), "--token-file", str(place / "token"), "deposit", str(place / "paper.pdf")]
        assert main([*command, "--identifier", "Đ-1", "--receipt", str(receipt)]) == 0
        assert json.loads(receipt.read_text())["signature"]
        before = everything(place)
        _, err = init()
        assert everything(place) == before
        assert "stays as it is" in err
    finally:
        node.kill(15)


def test_again_it_changes_nothing_and_makes_what_is_missing(place, init):
    out, _ = init(*trial(place))
    assert out.count("khoso_") == 1
    before = everything(place)
    out, err = init(*trial(place), "--name", "another")
    assert everything(place) == before
    assert "khoso_" not in out + err
    (place / "c").mkdir()
    with (place / "vault.toml").open("a") as file:
        file.write(
            f'[[volume]]\nname = "c"\nkind = "directory"\nmount = false\npath = "{place}/c"\ndomain = "c"\nsite = "x"\n'
        )
    init()
    assert (place / "c/vault-volume.json").exists()
    assert everything(place)["state/node.key"] == before["state/node.key"]


def test_cut_off_in_the_middle_it_is_gone_on_with(place, init, monkeypatch):
    from vault.volumes.directory import DirectoryVolume

    whole = DirectoryVolume.initialise

    def cut(self, identity):
        if self.name == "b":
            raise KeyboardInterrupt
        whole(self, identity)

    monkeypatch.setattr(DirectoryVolume, "initialise", cut)
    init(*trial(place), code=130)
    monkeypatch.undo()
    monkeypatch.setenv("KHOSO_LANG", "en")
    out, _ = init(*trial(place))
    assert "Nothing is wrong." in out
    assert out.count("khoso_") == 1


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (["--volume", "a=a"], 1, "the path must be absolute"),
        (["--volume", "a={place}/a,colour=red"], 1, "colour=red"),
        (["--volume", "a={place}/a"], 8, "nothing is mounted there"),
        (["--volume", "a={place}/none,mount=no"], 8, "there is no such folder"),
        (["--volume", "a={place}/a,mount=no", "--disk-copies", "3"], 8, "3"),
        (["--volume", "a={place}/a,mount=no", "--volume", "b={place}/b,mount=no"], 8, "one failure takes both"),
        (["--volume", "Ổ A={place}/a,mount=no"], 8, "it is no name"),
        (["--volume", "a={place}/a,mount=no", "--listen", "0.0.0.0:8420"], 8, "no TLS"),
        (["--volume", "a={place}/a,mount=no", "--listen", "banana"], 8, "nothing was written:\napi.listen"),
        (["--volume", "a={place}/a,mount=no", "--token", "a b"], 2, "is no name for a token"),
        (["--volume", "a={place}/a,mount=no", "--user", "nobody-of-that-name"], 1, "There is no user"),
        ([], 2, "--volume"),
    ],
)
def test_what_cannot_work_is_said_and_nothing_is_made(place, init, given, code, said):
    given = [text.format(place=place) for text in given]
    _, err = init("--no-tape", "--state", str(place / "state"), *given, code=code)
    assert said in err
    assert sorted(os.listdir(place)) == ["a", "b"]
    assert not os.listdir(place / "a")


def test_a_folder_that_holds_something_is_not_taken(place, init):
    (place / "b/photos").mkdir()
    _, err = init(*trial(place), code=1)
    assert "not empty" in err
    assert os.listdir(place / "b") == ["photos"]


def test_volumes_of_this_node_without_its_catalogue_are_a_case_for_restore(place, init):
    init(*trial(place))
    for name in ("vault.toml", "state/catalog.db"):
        (place / name).unlink()
    for path in (place / "state").iterdir():
        path.unlink() if path.is_file() else None
    (place / "state").rename(place / "lost")
    _, err = init(*trial(place), code=7)
    assert "catalog rebuild" in err
    assert not (place / "vault.toml").exists()


def test_comments_alone_are_no_configuration_and_stay_behind_it(place, init):
    (place / "vault.toml").write_text("# [node]\n# name = …\n")
    init(*trial(place))
    assert (place / "vault.toml").read_text().endswith("# [node]\n# name = …\n")
    with pytest.raises(Conflict):
        compose.place("[node]\n", place / "vault.toml", None)


def test_a_person_is_asked(place):
    """At a terminal of its own: every answer typed, one of them wrongly at first."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", "import sys; from vault.cli import main; sys.exit(main(sys.argv[1:]))"]
    given = ["--config", str(place / "vault.toml"), "init", "--no-start", "--no-tape", *_me()]
    with open(place / "out", "wb") as out, open(place / "err", "wb") as err:
        process = subprocess.Popen(
            [*command, *given, "--state", str(place / "state")], stdin=follower, stdout=out, stderr=err,
            env={**os.environ, "KHOSO_LANG": "en"},
        )  # fmt: skip
    os.close(follower)

    def answer(question: str, typed: str) -> None:
        eventually(lambda: question in (place / "err").read_text() or process.poll() is not None, 60)
        assert process.poll() is None, (place / "err").read_text()
        os.write(leader, f"{typed}\n".encode())

    try:
        answer("node called", "Kho 1")
        answer("kho-1?", "y")
        answer("building", "kho-chinh")
        answer("Numbers or paths", "nonsense")
        answer("neither one of the numbers", str(place / "a"))
        answer("A name for the volume", "")
        answer("own disk?", "y")
        answer("What else dies", "tu-1")
        answer("Where does it stand?", "")
        answer("How many good copies", "")
        answer("first program", "repository")
        answer("Write this", "y")
        assert process.wait(60) == 0, (place / "err").read_text()
    finally:
        process.kill()
        process.wait()
        os.close(leader)
    volume = tomllib.loads((place / "vault.toml").read_text())["volume"][0]
    assert (volume["name"], volume["domain"], volume["mount"]) == ("a", "tu-1", False)
    assert (place / "out").read_text().count("khoso_") == 1
    assert (place / "a/vault-volume.json").exists()


def test_what_is_mounted_is_found_with_what_fails_with_it():
    table = {
        mount.point: mount
        for mount in (
            Mount("/", "ext4", "/dev/sda1", "8:1"),
            Mount("/proc", "proc", "proc"),
            Mount("/boot/efi", "vfat", "/dev/sda2", "8:2"),
            Mount("/srv/a", "nfs4", "synology-1.kho.vn:/volume1/khoso", "0:51"),
            Mount("/srv/b", "cifs", "//Power Vault/khoso", "0:52"),
            Mount("/srv/old", "nfs4", "synology-1.kho.vn:/volume2", "0:53", read_only=True),
            Mount("/tmp/x", "nfs4", "elsewhere:/x", "0:54"),
        )
    }
    assert [(p.path, p.domain, p.mounted) for p in found.places(table)] == [
        ("/srv/a", "synology-1-kho-vn", True),
        ("/srv/b", "power-vault", True),
    ]


def test_tape_libraries_are_found():
    drive = Device(Role.TAPE_DRIVE, "10WT1", "/dev/nst0", "IBM ULT3580", "10WT1", "")
    other = Device(Role.TAPE_DRIVE, "10WT2", "/dev/nst1", "IBM ULT3580", "10WT2", "")
    changer = Device(Role.CHANGER, "CH1", "/dev/sch0", "QUANTUM", "CH1", "")
    disk = Device(Role.DISK, "D", "/dev/sda", "X", "D", "")
    assert found.libraries([disk]) == ()
    assert [(one.name, one.changer, one.drives) for one in found.libraries([drive, other, changer, disk])] == [
        ("autoloader", "auto", ())
    ]
    assert [(one.name, one.changer, one.drives) for one in found.libraries([drive, other])] == [
        ("drive-1", "none", ("10WT1",)),
        ("drive-2", "none", ("10WT2",)),
    ]


def test_what_is_typed_as_a_volume_is_read():
    volume = read_volume("nas-a=/srv/nas-a,domain=d,site=s,mount=no")
    assert (volume.name, volume.path, volume.domain, volume.site, volume.mount) == (
        "nas-a",
        "/srv/nas-a",
        "d",
        "s",
        False,
    )
    named = distinct_names([read_volume("/srv/x/Kho"), read_volume("/mnt/kho"), read_volume("kho-2=/a")])
    assert [one.name for one in named] == ["kho", "kho-3", "kho-2"]
    assert slug("Điện Biên số 1") == "dien-bien-so-1"
    for wrong in ("srv", "a=/x,mount=maybe", "a=/x,domain=", "a=/x,site=1,site=2"):
        with pytest.raises(Invalid):
            read_volume(wrong)
