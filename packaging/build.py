"""``make deb``: lay out what the package holds, and have dpkg-deb pack it. See README.md beside this."""

from __future__ import annotations

import email.utils
import gzip
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT / "scripts"), str(ROOT)]

import bootstrap  # noqa: E402
import pages  # noqa: E402

BUILD = ROOT / "build" / "deb"
TREE = BUILD / "root"
OUT = ROOT / "dist"
PREFIX = TREE / "usr/lib/khoso"
PACKAGES = ("vault", "hardware", "monitoring")
PYTHON = "/usr/bin/python3"  # the distribution's: what the package is for
COMMANDS = {"vaultd": "usr/sbin/vaultd", "vaultctl": "usr/bin/vaultctl", "khoso-smart": "usr/lib/khoso/khoso-smart"}
TIMEOUT = 1200


def main() -> int:
    """Make the package; the exit code is for make."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    # KHOSO_VERSION is for tests of upgrades.
    version = os.environ.get("KHOSO_VERSION") or project["version"]
    shutil.rmtree(BUILD, ignore_errors=True)
    PREFIX.mkdir(parents=True)
    OUT.mkdir(exist_ok=True)
    if not install_packages():
        print("deb: the packages of requirements.lock could not be installed; the lines above say why", file=sys.stderr)
        return 1
    copy_program()
    write_launchers(project["scripts"])
    copy_system_files()
    write_pages(version)
    write_completions()
    deb = pack(version)
    print(deb)
    return 0


def python_version() -> tuple[int, int]:
    """Of the distribution's Python."""
    text = run(PYTHON, "-c", "import sys; print(*sys.version_info[:2])")
    major, minor = text.split()
    return int(major), int(minor)


def install_packages() -> bool:
    """The wheels of requirements.lock, for the distribution's Python."""
    done = bootstrap.get_uv() and bootstrap.uv(
        "pip", "install", "--quiet", "--target", str(PREFIX / "site-packages"), "--python", PYTHON,
        "--no-deps", "--require-hashes", "--no-build", "--link-mode", "copy", "-r", str(ROOT / "requirements.lock"),
    )  # fmt: skip
    site = PREFIX / "site-packages"
    shutil.rmtree(site / "bin", ignore_errors=True)
    for name in (".lock", ".gitignore"):
        (site / name).unlink(missing_ok=True)
    # Headers and tests of others are of no use here.
    for path in [*site.rglob("__pycache__"), *site.rglob("*.h"), *site.rglob("*.pyi"), *site.rglob("*.pxd")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return done


def copy_program() -> None:
    """Our own packages, as they stand in the checkout."""
    unwanted = shutil.ignore_patterns("__pycache__", "*.pyc", "*.po")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, PREFIX / "site-packages" / name, ignore=unwanted)


def write_launchers(scripts: dict[str, str]) -> None:
    """The commands. ``-I`` keeps out what the environment names, ``-S`` the packages of the distribution."""
    template = (HERE / "launcher.py.in").read_text()
    for command, target in scripts.items():
        module, _, function = target.partition(":")
        text = template.replace("@COMMAND@", command).replace("@MODULE@", module).replace("@FUNCTION@", function)
        place(COMMANDS[command], text, 0o755)


def copy_system_files() -> None:
    """What stands in systemd/, with the package's paths; monitoring's rules; the guides."""
    for source in sorted((ROOT / "systemd").iterdir()):
        if source.suffix in (".service", ".timer", ".slice", ".mount"):
            place(f"usr/lib/systemd/system/{source.name}", packaged(source.read_text()))
    for source in sorted((ROOT / "systemd").glob("*.conf")):
        place(f"usr/share/doc/khoso/examples/{source.name}", packaged(source.read_text()))
    # Where `vaultctl init` has it from: what a program needs may not stand below /usr/share/doc (Debian policy 12.3).
    place("usr/lib/khoso/vaultd-tape.conf", packaged((ROOT / "systemd/vaultd-tape.conf").read_text()))
    for folder in ("sysusers.d", "tmpfiles.d"):
        place(f"usr/lib/{folder}/khoso.conf", (ROOT / "systemd" / folder / "khoso.conf").read_text())
    for source in (ROOT / "systemd/udev").iterdir():
        place(f"usr/lib/udev/rules.d/{source.name}", source.read_text())
    for source in sorted(one for end in ("yml", "tmpl", "json") for one in (ROOT / "monitoring").rglob(f"*.{end}")):
        place(f"usr/share/khoso/{source.relative_to(ROOT)}", source.read_text())
    for source in (ROOT / "docs").rglob("*.md"):
        place(f"usr/share/doc/khoso/{source.relative_to(ROOT / 'docs')}", source.read_text())
    place("usr/share/doc/khoso/copyright", (HERE / "debian/copyright").read_text())
    place("usr/share/doc/khoso/CHANGELOG.md", (ROOT / "CHANGELOG.md").read_text())
    place("usr/share/lintian/overrides/khoso", (HERE / "debian/lintian-overrides").read_text())


def packaged(text: str) -> str:
    """A unit with the paths of the package instead of those of a checkout."""
    for command, where in COMMANDS.items():
        text = text.replace(f"/opt/khoso/.venv/bin/{command}", f"/{where}")
    return text.replace("file:///opt/khoso/docs/", "file:///usr/share/doc/khoso/")


def write_pages(version: str) -> None:
    """Manual pages and the configuration."""
    for name, text in pages.manuals(version).items():
        compress(f"usr/share/man/man{name[-1]}/{name}.gz", text)
    place("etc/vault/vault.toml", pages.configuration(), 0o640)


def write_completions() -> None:
    """For bash and zsh, as Typer makes them."""
    from typer._completion_shared import get_completion_script

    for shell, where in (("bash", "bash-completion/completions/vaultctl"), ("zsh", "zsh/vendor-completions/_vaultctl")):
        script = get_completion_script(prog_name="vaultctl", complete_var="_VAULTCTL_COMPLETE", shell=shell)
        place(f"usr/share/{where}", script + "\n")


def pack(version: str) -> Path:
    """Control files, rights, and the package itself."""
    architecture = run("dpkg", "--print-architecture").strip()
    major, minor = python_version()
    control = TREE / "DEBIAN"
    control.mkdir()
    fill = {
        "@VERSION@": version, "@ARCHITECTURE@": architecture, "@PYTHON@": f"{major}.{minor}",
        "@NEXT_PYTHON@": f"{major}.{minor + 1}",
        "@DATE@": email.utils.formatdate((HERE.parent / "CHANGELOG.md").stat().st_mtime),
        "@SIZE@": str(size_of(TREE) // 1024), "@MAINTAINER@": maintainer(),
    }  # fmt: skip
    compress("usr/share/doc/khoso/changelog.gz", filled((HERE / "debian/changelog.in").read_text(), fill))
    for name in ("preinst", "postinst", "prerm", "postrm"):
        place(f"DEBIAN/{name}", filled((HERE / "debian" / name).read_text(), fill), 0o755)
    place("DEBIAN/control", filled((HERE / "debian/control.in").read_text(), fill))
    place("DEBIAN/conffiles", "/etc/vault/vault.toml\n")
    set_rights()
    sums = [
        f"{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}  {path.relative_to(TREE)}\n"
        for path in sorted(TREE.rglob("*"))
        if path.is_file() and control not in path.parents and path.relative_to(TREE).parts[0] != "etc"
    ]
    place("DEBIAN/md5sums", "".join(sums))
    deb = OUT / f"khoso_{version}_{architecture}.deb"
    run("dpkg-deb", "--root-owner-group", "-Zxz", "-z2", "--build", str(TREE), str(deb))
    return deb


def set_rights() -> None:
    """Modes as Debian wants them, whatever the umask was. dpkg-deb gives everything to root."""
    for path in TREE.rglob("*"):
        if path.is_dir():
            path.chmod(0o755)
        elif path.is_file() and path.parent.name != "DEBIAN" and str(path.relative_to(TREE)) not in COMMANDS.values():
            path.chmod(0o644)
    # Read by the service's group as well: the postinst's systemd-tmpfiles gives it to that group.
    (TREE / "etc/vault/vault.toml").chmod(0o640)


def maintainer() -> str:
    """Whoever builds it, as Debian's tools ask for it."""
    name = os.environ.get("DEBFULLNAME", "khoso")
    address = os.environ.get("DEBEMAIL", f"khoso@{platform.node() or 'localhost'}")
    return f"{name} <{address}>"


def filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(name, value)
    left = re.findall(r"@[A-Z_]+@", text)
    if left:
        raise SystemExit(f"deb: nothing was put in for {left}")
    return text


def size_of(tree: Path) -> int:
    return sum(path.lstat().st_size for path in tree.rglob("*") if path.is_file())


def place(where: str, text: str, mode: int = 0o644) -> None:
    path = TREE / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(mode)


def compress(where: str, text: str) -> None:
    path = TREE / where
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def run(*command: str) -> str:
    """A program that must succeed; what it printed."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    if done.returncode != 0:
        raise SystemExit(f"deb: {command[0]} failed: {done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
