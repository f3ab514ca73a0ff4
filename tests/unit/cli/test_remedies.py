"""What vaultctl says to do is something that can be typed."""

from __future__ import annotations

import re

import pytest

from vault import wire
from vault.api.problems import PROBLEMS
from vault.cli import main
from vault.cli.remedies import REMEDIES, for_the_command_line
from vault.i18n import speaking


def said(code: str, detail: str = "It is so.", remedy: str = "Send If-Match: x.") -> wire.Problem:
    problem = wire.Problem(type="", title="", status=400, detail=detail, code=code, remedy=remedy)
    with speaking("en"):
        return for_the_command_line(problem)


def test_every_remedy_is_for_a_problem_that_the_api_has():
    assert REMEDIES.keys() <= PROBLEMS.keys()


@pytest.mark.parametrize("code", REMEDIES)
def test_no_remedy_speaks_of_http(code):
    found = said(code).remedy
    assert not re.search(r"If-Match|Authorization|percent|kind=|GET |header|URL", found)
    assert "{" not in found


def test_other_content_names_the_version_that_it_would_follow():
    remedy = 'If this is a new version of it, deposit it again with If-Match: "v3"; if it is another'
    found = said("different-content", "H49/v9 is stored already (v3), with other content.", remedy)
    assert "--follows v3;" in found.remedy
    assert "--follows vN" in said("different-content", "H49 got another version.", "Look.").remedy


def test_what_has_no_remedy_of_its_own_keeps_the_nodes():
    assert said("no-space", remedy="Add a volume.").remedy == "Add a volume."


def test_a_precondition_is_called_by_its_option():
    detail = "The newest version of x is v2, and If-Match names v7."
    assert said("precondition-failed", detail).detail == "The newest version of x is v2, and --follows names v7."


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["verify", "--all", "--timeout", "10"], "--timeout"),
        (["token", "create", "x", "--scope", "read", "--expires", "10"], "--expires"),
        (["packages", "files", "x", "--version", "new"], "--version"),
        (["deposit", ".", "--identifier", "x", "--follows", "0"], "--follows"),
        (["packages", "show", " x"], "ID"),
    ],
)
def test_what_cannot_be_read_names_its_option_in_one_sentence(arguments, named, capsys, monkeypatch):
    monkeypatch.setenv("KHOSO_LANG", "en")
    assert main(["--socket", "/nowhere", *arguments]) == 2
    said = capsys.readouterr().err
    assert f"Invalid value for {named}:" in said
    assert "percent" not in said
