"""Programs of others that tests need, and the rule for when they are absent."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

NODE_MODULES = Path(__file__).resolve().parents[2] / ".venv/node/node_modules"


def require(program: str, package: str, also_in: Sequence[str] = ()) -> str:
    """Return the path of ``program``; skip the test when it is absent, naming Debian's ``package`` that has it.

    Looked for in PATH, then in the folders ``also_in``. With KHOSO_REQUIRE_TOOLS=1 in the environment, as where the
    whole suite is to run, an absent program is a failure.
    """
    found = shutil.which(program) or shutil.which(program, path=os.pathsep.join(also_in))
    if found is not None:
        return found
    message = f"{program} is not installed (Debian package {package})"
    if os.environ.get("KHOSO_REQUIRE_TOOLS") == "1":
        pytest.fail(message)
    pytest.skip(message)


def node_packages(program: str, *names: str) -> Path:
    """Return the folder with these packages of Node.js, for the program ``node``; skip the test where one is absent.

    They are where ``scripts/node-packages`` puts them, or else in Node.js's own path.
    """
    path = os.pathsep.join(filter(None, [os.environ.get("NODE_PATH"), str(NODE_MODULES)]))
    code = f"{list(names)!r}.map(name => require.resolve(name + '/package.json')).join('\\n')"
    looked = subprocess.run(
        [program, "-p", code], cwd="/", env={**os.environ, "NODE_PATH": path}, capture_output=True, text=True,
        check=False, timeout=60,
    )  # fmt: skip
    found = looked.stdout.splitlines()
    folders = {line.removesuffix(f"/{name}/package.json") for line, name in zip(found, names, strict=False)}
    if looked.returncode or len(folders) != 1:
        pytest.skip(f"{', '.join(names)}: not installed together (scripts/node-packages)")
    return Path(folders.pop())
