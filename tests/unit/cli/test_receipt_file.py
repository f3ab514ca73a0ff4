"""A receipt that cannot be written: known before anything is sent, and no reason to deposit again."""

from __future__ import annotations

import pytest

from vault.cli.commands.deposit import Result, check_place, write_receipt
from vault.client import DepositStatus
from vault.errors import Invalid, VaultError

RESULT = Result(DepositStatus.CREATED, "H49/2025 12", 2, "i", {"identifier": "H49/2025 12"}, None)


@pytest.mark.parametrize("name", ["none/x.json", "", "."])
def test_a_place_that_cannot_be_is_known_beforehand(tmp_path, name):
    with pytest.raises(Invalid, match="nothing was sent"):
        check_place(f"{tmp_path}/{name}")


def test_a_place_that_can_be_is_no_error(tmp_path, monkeypatch):
    check_place(f"{tmp_path}/x.json")
    monkeypatch.chdir(tmp_path)
    check_place("x.json")


def test_a_failure_afterwards_says_that_it_is_stored_and_how_to_get_the_receipt(tmp_path):
    with pytest.raises(VaultError, match=r"H49/2025 12 v2 is stored") as caught:
        write_receipt(f"{tmp_path}/gone/x.json", RESULT)
    assert "vaultctl receipt show 'H49/2025 12' --version v2" in caught.value.remedy
    assert "Do not deposit it again" in caught.value.remedy
