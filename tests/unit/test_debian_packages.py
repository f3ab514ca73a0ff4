"""The lists of Debian packages that `make test` and `make test-system` install where they may."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
SCRIPTS = TESTS.parent / "scripts"
# What no Debian lacks.
ALWAYS = {"dpkg", "util-linux", "mount"}


def listed(name: str) -> set[str]:
    lines = (SCRIPTS / name).read_text().splitlines()
    return {words[0] for line in lines if (words := line.partition("#")[0].split())}


def required() -> Iterator[tuple[str, Path]]:
    """Each package that a test names when it misses a program, and where."""
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "require":
                match node.args:
                    case [_, ast.Constant(str(package)), *_]:
                        for one in package.split(" and "):
                            yield one, path


def test_each_package_that_a_test_asks_for_is_on_a_list():
    """Else it is only where somebody installed it by hand, and the tests fail, or are skipped, on a fresh machine."""
    found = list(required())
    assert len(found) > 40
    everywhere = listed("debian-packages.txt") | ALWAYS
    with_system = everywhere | listed("debian-packages-system.txt")
    wanting = {
        (package, str(path.relative_to(TESTS)))
        for package, path in found
        if package not in (with_system if "system" in path.parts or path.name == "debian.py" else everywhere)
    }
    assert wanting == set()


@pytest.mark.parametrize("name", ["debian-packages.txt", "debian-packages-system.txt"])
def test_each_says_what_it_is_for(name):
    lines = [line for line in (SCRIPTS / name).read_text().splitlines() if not line.startswith("#")]
    assert all(line.partition("#")[2].strip() for line in lines)
