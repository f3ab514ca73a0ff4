"""Every error has an answer, and every answer is documented."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import vault.errors
from vault.api.problems import BY_CLASS, FAMILIES, PROBLEMS, document_of, entry_of, problem_response
from vault.errors import Corrupted, Fault, Forbidden, Invalid, Unreachable, VaultError, WrongVolume

REPO = Path(__file__).parents[3]

OUTSIDE = (
    "vault/config/",
    "vault/cli/",
    "vault/client/",
    "vault/i18n.py",
    "vault/units.py",
    "vault/daemon.py",
    "vault/node.py",
)
"""Modules whose errors never reach an answer: they are told on a terminal."""

RAISING = {"refuse", "_invalid", "bad_request"}
"""Helpers that take a code as their first argument."""


def classes() -> Iterator[type[VaultError]]:
    waiting = [VaultError]
    while waiting:
        found = waiting.pop()
        yield found
        waiting += found.__subclasses__()


def codes_in_use() -> dict[str, str]:
    """Every code that stands in the program, with a file that has it."""
    found: dict[str, str] = {}
    for path in sorted((REPO / "vault").rglob("*.py")):
        name = str(path.relative_to(REPO))
        if name.startswith(OUTSIDE):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = getattr(node.func, "id", getattr(node.func, "attr", ""))
                texts = [k.value for k in node.keywords if k.arg == "code"]
                texts += node.args[:1] if called in RAISING else []
                for text in texts:
                    if isinstance(text, ast.Constant) and isinstance(text.value, str) and text.value:
                        found[text.value] = name
    return found


def test_every_class_has_a_status() -> None:
    for kind in classes():
        if kind.__module__.startswith("vault.cli"):
            continue  # what only the command line says never becomes a problem document
        if kind.__module__ == vault.errors.__name__:
            assert kind in BY_CLASS
        assert entry_of(kind("message")).status >= 400
        assert kind.default_code in PROBLEMS


def test_every_code_of_the_program_is_in_the_table() -> None:
    used = codes_in_use()
    assert len(used) > 40, "the search for codes finds nothing any more"
    alerts = set(re.findall(r'code="([a-z-]+)"', (REPO / "vault/api/alerts.py").read_text(encoding="utf-8")))
    missing = {
        code: where
        for code, where in used.items()
        if code not in PROBLEMS and not code.startswith(tuple(FAMILIES)) and code not in alerts
        and re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", code)
    }  # fmt: skip
    assert not missing, "these need an entry in PROBLEMS, and a line in docs/reference/api.md"


@pytest.mark.parametrize("code", [*PROBLEMS, *(f"{start}*" for start in FAMILIES)])
def test_every_code_is_documented_with_its_status(code: str) -> None:
    reference = (REPO / "docs/reference/api.md").read_text(encoding="utf-8")
    entry = PROBLEMS.get(code) or FAMILIES[code.rstrip("*")]
    assert re.search(rf"^\| `{re.escape(code)}` \| {entry.status} \|", reference, re.MULTILINE)


def test_what_is_documented_is_in_the_table() -> None:
    reference = (REPO / "docs/reference/api.md").read_text(encoding="utf-8")
    documented = re.findall(r"^\| `([a-z0-9*-]+)` \| \d{3} \|", reference, re.MULTILINE)
    assert set(documented) == {*PROBLEMS, *(f"{start}*" for start in FAMILIES)}


def test_a_code_that_nobody_knows_takes_the_status_of_its_class() -> None:
    assert entry_of(WrongVolume("x", code="never-heard-of")).status == 503
    assert entry_of(Corrupted("x", code="never-heard-of")).status == 500
    assert entry_of(Forbidden("x", code="never-heard-of")).status == 403

    class Derived(Unreachable):
        pass

    assert entry_of(Derived("x", code="never-heard-of")) is BY_CLASS[Unreachable]


def test_archives_that_are_wrong_are_bad_requests_and_those_too_large_are_413() -> None:
    assert entry_of(Invalid("x", code="tar-truncated")).status == 400
    assert entry_of(Invalid("x", code="archive-too-large")).status == 413
    assert entry_of(Invalid("x", faults=[Fault("member-too-large", "m")], code="bag-invalid")).status == 413


def test_a_document_says_everything_that_was_wrong() -> None:
    error = Invalid(
        "Two things.", faults=[Fault("a", "one", "x"), Fault("b", "two")], remedy="Mend them.", code="bag-invalid"
    )
    document = document_of(error, "5f3a")
    assert document == {
        "type": "urn:khoso:problem:bag-invalid",
        "title": PROBLEMS["bag-invalid"].title,
        "status": 400,
        "detail": "Two things.",
        "code": "bag-invalid",
        "remedy": "Mend them.",
        "faults": [{"code": "a", "message": "one", "path": "x"}, {"code": "b", "message": "two", "path": ""}],
        "instance": "5f3a",
    }


def test_an_answer_survives_names_that_are_no_unicode_and_faults_without_end() -> None:
    response = problem_response(Invalid("x\udcff", faults=[Fault("a", "m", "\udcff")] * 5000))
    document = json.loads(response.body)
    assert document["detail"] == "x\udcff"
    assert len(document["faults"]) == 1000


def test_what_may_go_away_says_when_to_come_again() -> None:
    assert int(problem_response(Unreachable("x")).headers["retry-after"]) > 0
    assert "retry-after" not in problem_response(Corrupted("x")).headers
    assert problem_response(Forbidden("x", code="no-credentials")).headers["www-authenticate"].startswith("Bearer")
