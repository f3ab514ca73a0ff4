"""What is said of a command that cannot be understood."""

from __future__ import annotations

import os

import pytest

from vault.cli import main
from vault.cli.usage import in_our_language, said


def typed(capsys, *arguments: str) -> str:
    assert main(["--socket", "/nowhere", *arguments]) == 2
    return capsys.readouterr().err


@pytest.fixture
def vietnamese(monkeypatch):
    monkeypatch.setenv("KHOSO_LANG", "vi")


def test_no_word_of_a_library(capsys, monkeypatch):
    monkeypatch.setenv("KHOSO_LANG", "en")
    error = typed(capsys, "token", "create", "x", "--scope", "write")
    assert "'write' is not one of 'deposit', 'read'" in error
    assert "Value error" not in error
    assert error.startswith("Usage: vaultctl token create")


@pytest.mark.usefixtures("vietnamese")
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["token", "create", "x", "--scope", "write"],
            "Giá trị không hợp lệ cho '--scope': 'write' không phải một trong",
        ),
        (["deposit", "x"], "Thiếu"),
        (["status", "--none"], "Không có tùy chọn --none"),
        (["nothing"], "Không có lệnh 'nothing'"),
        (["status", "more"], "Thừa"),
        (["verify", "--all", "--timeout", "10"], "Giá trị không hợp lệ cho --timeout"),
    ],
)
def test_usage_errors_are_vietnamese(arguments, expected, capsys):
    error = typed(capsys, *arguments)
    assert error.startswith("Cách dùng: vaultctl")
    assert f"Lỗi: {expected}" in error


@pytest.mark.usefixtures("vietnamese")
def test_the_headings_of_the_help_are_vietnamese(capsys):
    assert main(["volumes", "show", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Tùy chọn:" in shown
    assert "Tham số:" in shown


@pytest.mark.usefixtures("vietnamese")
def test_nothing_of_it_stays_behind(monkeypatch):
    monkeypatch.delenv("LANGUAGE", raising=False)
    with in_our_language():
        assert os.environ["LANGUAGE"] == "vi"
    assert "LANGUAGE" not in os.environ


def test_what_is_not_known_is_said_as_it_is():
    assert said("Something else.") == "Something else."
