"""Makes ``.venv`` hold exactly what a lock names, and the project itself, run from this checkout.

Called by ``scripts/bootstrap``, which finds the Python; needs nothing but the standard library. Everything that is
installed is pinned by hash: first uv, from ``requirements-bootstrap.lock`` by pip, then the rest by uv, or by pip
where uv cannot. Where packages come from is the machine's business: pip's settings (``PIP_INDEX_URL``, pip.conf)
hold for uv too, and no address is ever written down.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV_HOME = VENV / "uv"
STAMP = VENV / "khoso-stamp"
LOCKS = {"run": ROOT / "requirements.lock", "dev": ROOT / "requirements-dev.lock"}
BOOTSTRAP_LOCK = ROOT / "requirements-bootstrap.lock"
TRUSTED = Path("/etc/ssl/certs/ca-certificates.crt")  # whom this machine trusts; uv would bring its own list
TIMEOUT = 1800

LAUNCHER = """\
#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import sys

from {module} import {function}

sys.exit({function}())
"""


def main() -> int:
    """Bring ``.venv`` up to date, or lock anew; the exit code is for the shell."""
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    if command not in (*LOCKS, "lock", "upgrade"):
        say("say one of: run, dev, lock, upgrade")
        return 2
    os.environ.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    if command in LOCKS:
        return prepare(command)
    return lock(upgrade=command == "upgrade")


def prepare(wanted: str) -> int:
    """Make the environment hold what ``wanted`` needs. What dev needs includes what run needs."""
    stamp = fingerprint()
    have = STAMP.read_text().split() if STAMP.is_file() else []
    if have[1:] == [stamp] and have[0] in (wanted, "dev") and PYTHON.exists():
        return 0
    if "dev" in have[:1]:
        wanted = "dev"
    STAMP.unlink(missing_ok=True)
    make_venv()
    say(f"installing what {LOCKS[wanted].name} names")
    if not (get_uv() and sync_with_uv(LOCKS[wanted])) and not sync_with_pip(LOCKS[wanted]):
        say("the packages could not be installed; the lines above say why")
        return 1
    install_project()
    STAMP.write_text(f"{wanted} {stamp}\n")
    return 0


def fingerprint() -> str:
    """What the environment depends on: the locks, the project's commands, this script, and where it all lies."""
    digest = hashlib.sha256(bytes(ROOT))
    for path in (*LOCKS.values(), BOOTSTRAP_LOCK, ROOT / "pyproject.toml", Path(__file__)):
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def moved() -> bool:
    """Whether the environment was made elsewhere and moved here, which its scripts do not survive."""
    activate = VENV / "bin" / "activate"
    return not activate.is_file() or str(VENV) not in activate.read_text()


def make_venv() -> None:
    """Make the virtual environment, unless a usable one is there."""
    if works() and not moved():
        return
    say(f"making .venv with Python {sys.version.split()[0]}")
    interpreter = os.path.realpath(sys.executable) if Path(sys.prefix) == VENV else sys.executable
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([interpreter, "-m", "venv", str(VENV)], check=True, timeout=TIMEOUT)


def works() -> bool:
    """Whether the environment's Python starts, is new enough and has pip."""
    if not PYTHON.exists():
        return False
    probe = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([str(PYTHON), "-c", probe], check=False, capture_output=True, timeout=TIMEOUT).returncode == 0


def get_uv() -> bool:
    """Install the pinned uv beside the environment's packages, where a sync does not touch it."""
    pinned = BOOTSTRAP_LOCK.read_text()
    kept = UV_HOME / "requirements-bootstrap.lock"
    if kept.is_file() and kept.read_text() == pinned:
        return True
    shutil.rmtree(UV_HOME, ignore_errors=True)
    done = pip(
        "install", "--quiet", "--no-deps", "--only-binary=:all:", "--target", str(UV_HOME),
        "--require-hashes", "-r", str(BOOTSTRAP_LOCK),
    )  # fmt: skip
    if done:
        kept.write_text(pinned)
    return done


def sync_with_uv(requirements: Path) -> bool:
    """Make the environment hold exactly these packages.

    What the node needs comes as wheels. A few of the tests' packages have to be built, by the setuptools that the
    lock pins.
    """
    building = ["--build-constraint", str(requirements)] if requirements == LOCKS["dev"] else ["--no-build"]
    return uv("pip", "sync", "--quiet", "--require-hashes", *building, "--python", str(PYTHON), str(requirements))


def sync_with_pip(requirements: Path) -> bool:
    """Make the environment hold at least these packages."""
    say("uv did not manage; trying pip, which takes longer")
    return pip("install", "--quiet", "--require-hashes", "-r", str(requirements))


def pip(*arguments: str) -> bool:
    """Run the environment's pip; what it says goes to the terminal."""
    return subprocess.run([str(PYTHON), "-m", "pip", *arguments], check=False, timeout=TIMEOUT).returncode == 0


def uv(*arguments: str) -> bool:
    """Run uv with pip's settings; what it says goes to the terminal."""
    environment = {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_NO_PROGRESS": "1", **uv_settings(), **os.environ}
    program = UV_HOME / "bin" / "uv"
    try:
        done = subprocess.run([str(program), *arguments], check=False, env=environment, cwd=ROOT, timeout=TIMEOUT)
    except OSError as error:
        say(f"uv cannot be run: {error}")
        return False
    return done.returncode == 0


def uv_settings() -> dict[str, str]:
    """Return pip's settings in the variables that uv reads; what is set for uv itself stays.

    An index may hold older copies of a package than another one. uv would stop at the first index that knows the
    name, pip takes the best of all; as every file is pinned by hash, pip's way is safe here.
    """
    listed = subprocess.run(
        [str(PYTHON), "-m", "pip", "config", "list"], check=False, capture_output=True, text=True, timeout=TIMEOUT
    )  # fmt: skip
    found: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        name, separator, value = line.partition("=")
        scope, _, key = name.partition(".")
        if separator and (key not in found or scope == ":env:"):
            found[key] = value.strip().strip("'\"").replace("\\n", " ")
    settings = {
        "UV_DEFAULT_INDEX": found.get("index-url", ""),
        "UV_INDEX": " ".join(found.get("extra-index-url", "").split()),
        "UV_FIND_LINKS": ",".join(found.get("find-links", "").split()),
        "UV_INSECURE_HOST": " ".join(found.get("trusted-host", "").split()),
        "UV_HTTP_TIMEOUT": found.get("timeout", found.get("default-timeout", "")),
        "UV_NO_INDEX": "1" if found.get("no-index", "").lower() in ("1", "true", "yes", "on") else "",
        "SSL_CERT_FILE": found.get("cert", str(TRUSTED) if TRUSTED.is_file() else ""),
        "HTTPS_PROXY": found.get("proxy", ""),
    }
    return {name: value for name, value in settings.items() if value}


def install_project() -> None:
    """Let the environment run the project from this checkout: a path file, and its commands."""
    packages = subprocess.run(
        [str(PYTHON), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True, text=True, check=True, timeout=TIMEOUT,
    ).stdout.strip()  # fmt: skip
    (Path(packages) / "khoso-checkout.pth").write_text(f"{ROOT}\n")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name, target in project.get("scripts", {}).items():
        module, _, function = target.partition(":")
        script = VENV / "bin" / name
        script.write_text(LAUNCHER.format(python=PYTHON, module=module, function=function))
        script.chmod(0o755)


def lock(*, upgrade: bool) -> int:
    """Write the locks from pyproject.toml. Pins that still fit stay, unless ``upgrade``.

    Only the one main index is asked, so that the hashes do not depend on what else a machine has at hand.
    """
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "UV_INDEX", "UV_FIND_LINKS"):
        os.environ[name] = ""
    make_venv()
    if not get_uv():
        return 1
    common = [
        "pip", "compile", "--quiet", "--universal", "--python-version", "3.11", "--generate-hashes",
        "--no-emit-index-url", "--no-emit-find-links", "--no-header", *(["--upgrade"] if upgrade else []),
    ]  # fmt: skip
    run, dev, first = (path.name for path in (*LOCKS.values(), BOOTSTRAP_LOCK))
    made = (
        uv(*common, "--group", "bootstrap", "-o", first)
        and uv(*common, "pyproject.toml", "-o", run)
        and uv(*common, "pyproject.toml", "--group", "dev", "-c", run, "-o", dev)
    )
    return 0 if made else 1


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
