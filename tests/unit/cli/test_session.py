"""Where vaultctl looks for the daemon, and with which token."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from vault.cli.session import Session
from vault.client import Endpoint
from vault.config.settings import ApiSettings
from vault.errors import ConfigError, NotFound, Unreachable

CONFIG = """
[node]
name = "x"
state = "./state"
time_zone = "Europe/Paris"
[api]
socket = "./configured.sock"
[[volume]]
name = "a"
kind = "directory"
path = "./a"
domain = "a"
site = "s"
[[policy]]
name = "default"
disk = 1
"""


@pytest.fixture
def config(tmp_path, monkeypatch) -> Path:
    monkeypatch.delenv("VAULT_CONFIG", raising=False)
    monkeypatch.delenv("VAULTCTL_TOKEN", raising=False)
    path = tmp_path / "vault.toml"
    path.write_text(CONFIG)
    return path


def test_the_socket_of_the_configuration_is_used(config):
    assert Session(config=config).endpoint() == Endpoint(socket=config.parent / "configured.sock")


def test_an_option_comes_before_the_configuration(config):
    assert Session(config=config, socket=Path("/x.sock")).endpoint() == Endpoint(socket=Path("/x.sock"))
    assert Session(config=config, url="http://127.0.0.1:1").endpoint() == Endpoint(url="http://127.0.0.1:1")


def test_the_variable_names_the_configuration(config, monkeypatch):
    monkeypatch.setenv("VAULT_CONFIG", str(config))
    assert Session().endpoint() == Endpoint(socket=config.parent / "configured.sock")
    assert str(Session().speech.zone) == "Europe/Paris"


def test_a_configuration_that_was_asked_for_must_work(config):
    config.write_text("[node")
    with pytest.raises(ConfigError):
        Session(config=config).endpoint()
    with pytest.raises(ConfigError):
        Session(config=config.with_name("none.toml")).endpoint()
    # What is only for showing times does not stand in the way.
    assert str(Session(config=config).speech.zone) == "Asia/Ho_Chi_Minh"


def test_on_a_machine_that_was_never_set_up_the_first_step_is_named(config, monkeypatch):
    with pytest.raises(Unreachable) as configured:
        Session(config=config).client()
    assert "journalctl" in configured.value.remedy
    monkeypatch.setattr("vault.config.load.DEFAULT_PATH", config.with_name("none.toml"))
    monkeypatch.setattr(ApiSettings.model_fields["socket"], "default", config.with_name("none.sock"))
    with pytest.raises(Unreachable) as fresh:
        Session().client()
    assert "vaultctl init" in fresh.value.remedy


def test_the_token_comes_from_a_file_that_nobody_else_can_read(config, monkeypatch):
    monkeypatch.setenv("VAULTCTL_TOKEN", "from-the-variable\n")
    session = Session(config=config, url="https://kho.example.vn")
    assert session.endpoint().token == "from-the-variable"
    token = config.with_name("token")
    token.write_text("from-the-file\n")
    token.chmod(0o600)
    session = dataclasses.replace(session, token_file=token)
    assert session.endpoint().token == "from-the-file"
    token.chmod(0o640)
    with pytest.raises(ConfigError, match="read by others"):
        session.endpoint()
    with pytest.raises(NotFound):
        dataclasses.replace(session, token_file=config.with_name("nothing")).endpoint()
