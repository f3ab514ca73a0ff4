"""The status says to someone without Grafana what the alert rules say, worst first, each with what to do."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from hardware.array_tools import Problem
from hardware.arrays import Array, ArrayState
from hardware.mounts import Mount
from hardware.shares import Share, ShareState
from tests.support.one_of_each import put_disk
from tests.support.serving import Running, eventually, served
from vault.catalog import facts, tokens
from vault.clock import to_text
from vault.device_model import Health
from vault.ledger import append
from vault.model import EventType, NewEvent, Outcome, Scope

OURS = {
    "ledger-broken": "critical",
    "volume-full": "critical",
    "volume-slow": "warning",
    "volume-filling": "warning",
    "token-expiring": "warning",
    "array-scrub-overdue": "warning",
    "array-errors": "warning",
    "self-test-overdue": "warning",
    "arrays-not-heard": "warning",
    "volume-wrong-export": "critical",
}


@pytest.fixture
def trouble(running: Running) -> Running:
    """A node with something amiss of each kind."""
    node = running.node
    with node.catalogue.write() as tx:
        token, _ = tokens.create(tx, "sap-het-han", [Scope.READ], tx.now + timedelta(days=3))
        tokens.touch(tx, token.id)
        append(tx, NewEvent(EventType.TOKEN_CREATED, Outcome.SUCCESS, "node:test"))
        broken = {"time": to_text(tx.now), "count": 1, "intact": False, "reason": "Event 2 was changed."}
        facts.put(tx, "ledger-proof", broken)
        days = [(tx.now - timedelta(days=back)).date().isoformat() for back in (10, 0)]
        facts.put(tx, "volume-growth", {"nas-b": {days[0]: 10**9, days[1]: 5 * 10**8}})
        old = {"first_seen": to_text(tx.now - timedelta(days=99)), "checked_at": None, "checking": False}
        facts.put(tx, "array-history", {"md0": old})
        put_disk(tx, "NEVER", tx.now, Health.HEALTHY, readings={"long_untested_hours": 24 * 200})
        put_disk(tx, "WELL", tx.now, Health.HEALTHY, readings={"long_untested_hours": 24 * 20})
        put_disk(tx, "BAD", tx.now, Health.FAILING, readings={"long_untested_hours": 24 * 200})
        put_disk(tx, "GONE", tx.now, Health.HEALTHY, present=False, readings={"long_untested_hours": 24 * 200})
    node.health._array_listener.look = lambda: [Array("md0", "md", "raid1", ArrayState.WELL, 0, 128)]
    node.health.look()
    slow = Share("/srv/a", None, ShareState.SLOW, 10**12, 10**11, 1000, 0, 3.0)
    wrong = Share("/srv/b", Mount("/srv/b", "nfs4", "nas:/khac"), ShareState.WRONG_EXPORT, expected="nas:/kho")
    node.health._shares = {**node.health.shares, "nas-a": slow, "nas-b": wrong}
    node.health._array_listener.problems = {"zpool": Problem.HUNG}
    return running


def test_what_is_amiss_is_said_the_worst_first_and_with_what_to_do(trouble: Running, everyone: httpx.Client) -> None:
    alerts = everyone.get("/v1/status").json()["alerts"]
    found = {alert["code"]: alert for alert in alerts}
    assert {code: found[code]["severity"] for code in OURS if code in found} == OURS
    order = [("critical", "warning", "info").index(alert["severity"]) for alert in alerts]
    assert order == sorted(order)
    assert all(found[code]["remedy"] for code in OURS)
    assert "Event 2" in found["ledger-broken"]["message"]
    assert found["volume-full"]["subject"] == "nas-a"
    assert [one["subject"] for one in alerts if one["code"] == "self-test-overdue"] == ["NEVER"]
    assert "200 days without a long self-test" in found["self-test-overdue"]["message"]
    assert "no more files" in found["volume-full"]["message"]
    assert found["volume-filling"]["subject"] == "nas-b"
    assert "nas:/khac, and it was itself on nas:/kho" in found["volume-wrong-export"]["message"]


def test_a_node_that_is_well_says_none_of_that(tmp_path_factory: pytest.TempPathFactory) -> None:
    with served(tmp_path_factory.mktemp("well")) as running, running.client("audit") as client:
        eventually(lambda: running.node.health.look() or running.node.health.shares)
        codes = {alert["code"] for alert in client.get("/v1/status").json()["alerts"]}
    assert not codes & set(OURS)
