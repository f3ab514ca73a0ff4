"""The shape of the project itself: what is true of every file, and which way imports go."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

REPO = Path(__file__).parents[2]
PACKAGES = ("vault", "hardware", "monitoring")
LIMIT = 500

LONG_FILES: dict[str, str] = {
    "docs/reference/cli.md": "every command and option, in one page that can be searched",
}
"""Files of ours that may be longer than LIMIT lines, with the reason."""

GENERATED = re.compile(r"LICENSE|.*package-lock\.json|requirements.*\.lock|.*\.(po|mo|pot)|monitoring/.*\.json")
SKIPPED_FOLDERS = {"__pycache__", "demo", "build", "dist", "bench-results"}
TEXT = re.compile(r"|\.(cfg|conf|ini|json|lock|mako|md|py|rules|service|sh|sql|toml|txt|xml|ya?ml)")
"""Suffixes of text files; files without one are scripts."""


def files() -> list[Path]:
    """Every text file of the project, without what is generated or hidden (.ci excepted)."""
    found = []
    for folder, folders, names in os.walk(REPO):
        folders[:] = [
            name
            for name in folders
            if name not in SKIPPED_FOLDERS and not name.endswith(".egg-info") and (name[0] != "." or name == ".ci")
        ]
        found += [Path(folder, name) for name in names if name[0] != "." and TEXT.fullmatch(Path(name).suffix)]
    return sorted(found)


def relative(path: Path) -> str:
    return path.relative_to(REPO).as_posix()


def modules() -> list[Path]:
    return [path for path in files() if path.suffix == ".py" and relative(path).split("/")[0] in PACKAGES]


def test_the_walk_finds_the_project():
    names = {relative(path) for path in files()}
    assert {
        "vault/model.py",
        "pyproject.toml",
        "Makefile",
        ".ci/run",
        "requirements.lock",
        "scripts/bootstrap",
    } <= names


def test_no_file_asks_to_be_two():
    ours = [path for path in files() if not GENERATED.fullmatch(relative(path))]
    lengths = {relative(path): path.read_bytes().count(b"\n") for path in ours}
    too_long = {name: length for name, length in lengths.items() if length > LIMIT and name not in LONG_FILES}
    assert not too_long
    assert not [name for name in LONG_FILES if lengths.get(name, 0) <= LIMIT], "no longer an exception"


def test_every_package_says_what_lives_there():
    for path in modules():
        if path.name == "__init__.py":
            docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
            assert len(docstring) > 80, f"{relative(path)}: a paragraph on what lives here and what may not"


def test_every_folder_of_modules_is_a_package():
    assert not {relative(path.parent) for path in modules() if not (path.parent / "__init__.py").exists()}


def test_every_module_says_what_it_is():
    assert not [relative(path) for path in modules() if not ast.get_docstring(ast.parse(path.read_text()))]


def test_the_library_does_not_print():
    """The commands print, through Rich or typer; nothing else speaks to a terminal behind the caller's back. The
    daemon's entry says on standard error why it cannot start: there is no log yet; the helper speaks to the journal."""
    for path in modules():
        if relative(path) in ("vault/daemon.py", "hardware/smart/collect.py"):
            continue
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        prints = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
        assert not prints, f"{relative(path)}: {prints}"


def test_unicode_is_normalised_in_one_place():
    """unicodedata takes the square of a run of marks, with the interpreter's lock held: see vault/text.py."""
    allowed = {"vault/text.py", "hardware/ltfs/names.py"}  # the second judges each name's length first
    calls = re.compile(r"unicodedata\.(is_)?normal|from unicodedata import")
    assert {relative(path) for path in modules() if calls.search(path.read_text())} == allowed


def test_imports_go_one_way():
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], cwd=REPO, capture_output=True, text=True, timeout=110, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def locks() -> list[Path]:
    return sorted(REPO.glob("requirements*.lock"))


def test_locks_pin_everything_by_hash_and_name_no_place():
    assert len(locks()) == 3
    for lock in locks():
        text = lock.read_text()
        assert not re.search(r"://|index-url|find-links|trusted-host|@ ", text), lock.name
        entries = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", text)).strip().splitlines()
        assert entries
        for entry in entries:
            assert re.match(r"[a-z0-9._-]+==\S+ (?:;.*)?.*--hash=sha256:[0-9a-f]{64}", entry), entry


def requirements(lock: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", (REPO / lock).read_text()))


def test_what_tests_run_with_is_what_the_node_runs_with():
    run, dev = requirements("requirements.lock"), requirements("requirements-dev.lock")
    assert run.items() <= dev.items()


def direct() -> set[str]:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())
    groups = project["dependency-groups"].values()
    named = [*project["project"]["dependencies"], *(one for group in groups for one in group)]
    return {re.split(r"[\[<>=!~;, ]", one, maxsplit=1)[0].lower() for one in named}


def test_every_direct_dependency_is_locked_and_has_a_reason():
    locked = {name for lock in locks() for name in requirements(lock.name)}
    assert direct() <= locked
    reasons = set(re.findall(r"(?m)^\| `([^`]+)` \|", (REPO / "docs" / "dependencies.md").read_text()))
    assert reasons == direct()


@pytest.mark.parametrize("places", ["/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/Us" + "ers/"])
def test_no_place_of_one_machine_is_written_down(places):
    pattern = re.compile(rf"(?<![\w.~-]){places}\w")
    hits = [
        f"{relative(path)}:{number}"
        for path in files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not hits
