"""Secrets that systemd hands over: found where it puts them, never made, never shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vault import credentials
from vault.catalog.engine import Catalogue
from vault.config import parse_settings
from vault.errors import ConfigError
from vault.signing import NodeKey

CONFIG = """\
[node]
name = "n"
key = "credential:{key}"
[catalog]
url = "{url}"
[[volume]]
name = "a"
kind = "directory"
path = "/srv/a"
domain = "a"
site = "s"
[[policy]]
name = "default"
disk = 1
"""


def settings(key: str = "node.key", url: str = ""):
    return parse_settings(CONFIG.format(key=key, url=url), Path("/etc/vault/vault.toml"))


@pytest.fixture
def given(tmp_path, monkeypatch) -> Path:
    """The folder in which systemd hands credentials to a service."""
    folder = tmp_path / "given"
    folder.mkdir()
    monkeypatch.setenv(credentials.VARIABLE, str(folder))
    return folder


def test_the_key_is_the_one_that_was_given(given, tmp_path):
    made = NodeKey.load_or_create(tmp_path / "made.key")
    (tmp_path / "made.key").rename(given / "node.key")
    # As systemd leaves it: root's, read-only, and the mask of the ACL that lets the service in (acl(5)).
    (given / "node.key").chmod(0o440)
    assert settings().node.key_file == given / "node.key"
    assert NodeKey.load_or_create(settings().node.key_file).public_key == made.public_key


@pytest.mark.parametrize("mode", [0o444, 0o460, 0o404])
def test_one_that_others_may_read_or_change_is_refused(given, tmp_path, mode):
    NodeKey.load_or_create(tmp_path / "made.key")
    (tmp_path / "made.key").rename(given / "node.key")
    (given / "node.key").chmod(mode)
    with pytest.raises(ConfigError, match="open to others"):
        NodeKey.load_or_create(given / "node.key")


def test_a_key_that_was_not_given_is_never_made(given):
    with pytest.raises(ConfigError) as refused:
        NodeKey.load_or_create(settings().node.key_file)
    assert refused.value.code == "no-credential"
    assert "LoadCredential=node.key" in refused.value.remedy
    assert os.listdir(given) == []


def test_a_folder_that_is_kept_from_the_service_holds_no_credential(monkeypatch, tmp_path):
    """A service to which nothing was handed may not even look (here: there is no folder to look into)."""
    (tmp_path / "kept").touch()
    monkeypatch.setenv(credentials.VARIABLE, str(tmp_path / "kept"))
    with pytest.raises(ConfigError) as refused:
        NodeKey.load_or_create(settings().node.key_file)
    assert refused.value.code == "no-credential"


def test_beside_the_service_its_own_are_looked_for(monkeypatch):
    monkeypatch.delenv(credentials.VARIABLE, raising=False)
    assert settings().node.key_file == Path("/run/credentials/vaultd.service/node.key")


def test_without_a_credential_the_key_is_where_it_always_was():
    text = CONFIG.format(key="x", url="").replace('key = "credential:x"\n', "")
    assert parse_settings(text, Path("/etc/vault/vault.toml")).node.key_file == Path("/var/lib/vault/node.key")


def test_the_catalogue_is_where_the_credential_says(given, tmp_path):
    (given / "catalogue-url").write_text(f"sqlite:///{tmp_path}/catalog.db\n")
    found = settings(url="credential:catalogue-url").catalog.url
    assert found == "credential:catalogue-url", "and nothing of it stands in the settings"
    catalogue = Catalogue.open(found)
    catalogue.migrate()
    catalogue.close()
    assert (tmp_path / "catalog.db").exists()


@pytest.mark.parametrize("text", ["", "postgresql+psycopg:vault:geheim", "mysql://vault:geheim@db/vault", "geheim"])
def test_a_credential_that_names_no_catalogue_is_refused_without_being_repeated(given, text):
    (given / "catalogue-url").write_text(text)
    with pytest.raises(ConfigError) as refused:
        Catalogue.open("credential:catalogue-url").migrate()
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("name", ["", "../node.key", "a/b", ".x", "a b", "x" * 300])
def test_what_is_no_name_is_refused_at_its_line(name):
    with pytest.raises(ConfigError, match=r"vault\.toml:3: node\.key"):
        settings(key=name)
    with pytest.raises(ConfigError, match=r"vault\.toml:5: catalog\.url"):
        settings(url=f"credential:{name}")
