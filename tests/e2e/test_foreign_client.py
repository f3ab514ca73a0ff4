"""A client that is generated from the node's own OpenAPI document deposits, asks and fetches, against a real daemon.

openapi-typescript makes the types, ``tsc`` in its strict mode holds a program to them, Node.js runs it. All three are
where ``scripts/node-packages`` puts them, which ``make test`` runs, or elsewhere in Node.js's own path (``NODE_PATH``).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.daemon import Node
from tests.support.tools import node_packages, require
from vault import wire
from vault.model import Scope

PROGRAM = Path(__file__).parents[1] / "support" / "foreign_client.ts"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node.make(tmp_path)
    made.start()
    with made.client() as client:
        for name in ("a", "b"):
            client.initialise_volume(name)
    yield made
    made.kill()


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done.stdout


@pytest.mark.slow
def test_a_generated_client_deposits_asks_and_fetches(node: Node, tmp_path: Path) -> None:
    program = require("node", "nodejs")
    packages = node_packages(program, "openapi-typescript", "openapi-fetch", "typescript")
    with node.client() as own:
        token = own.create_token(wire.TokenOrder(name="kho", scopes=[Scope.DEPOSIT, Scope.READ])).token
    folder = tmp_path / "foreign"
    folder.mkdir()
    (folder / "node_modules").symlink_to(packages)
    document = httpx.get(f"{node.address()}/openapi.json", timeout=60)
    (folder / "openapi.json").write_bytes(document.content)
    shutil.copy(PROGRAM, folder)
    run(folder, program, f"{packages}/openapi-typescript/bin/cli.js", "openapi.json", "-o", "schema.ts")
    options = ("--strict", "--noUncheckedIndexedAccess", "--target", "es2022", "--lib", "es2022,dom")
    run(folder, program, f"{packages}/typescript/bin/tsc", *options, "--module", "node16", PROGRAM.name)
    body = folder / "body"
    body.write_bytes(os.urandom(3_000_000))
    identifier = "gói/của người khác"
    told = json.loads(run(folder, program, "foreign_client.js", node.address(), token, identifier, str(body)))
    assert told["status"] == 202
    assert (told["receipt"]["identifier"], told["receipt"]["bytes"]) == (identifier, 3_000_000)
    assert (told["title"], told["copies"], told["listed"]) == ("Hồ sơ", ["good", "good"], [identifier])
    assert (told["same"], told["bytes"]) == (True, 3_000_000)
    assert told["absent"] == [404, "no-such-package"]
