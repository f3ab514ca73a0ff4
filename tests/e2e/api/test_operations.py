"""An operator's view: what is, what is ordered, and that each order leaves its event."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx
import pytest

from tests.support.serving import Running, eventually
from vault.ledger import verify_checkpoint


@pytest.fixture(scope="module")
def stored(running: Running) -> Running:
    with running.client("deposit") as client:
        for number in range(5):
            response = client.put(
                f"/v1/packages/list/{number}",
                content=b"%d" % number,
                params={"fonds": "even" if number % 2 == 0 else "odd", "filename": f"{number}.txt"},
            )
            assert response.status_code == 201, response.text
    return running


def events(client: httpx.Client, **query) -> list[dict]:
    return client.get("/v1/events", params=query).json()["items"]


def test_packages_are_listed_page_by_page(stored: Running, everyone: httpx.Client) -> None:
    found, cursor = [], None
    while True:
        page = everyone.get(
            "/v1/packages", params={"limit": 2, "prefix": "list/", **({"cursor": cursor} if cursor else {})}
        )
        found += [item["identifier"] for item in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
    assert found == [f"list/{number}" for number in range(5)]
    odd = everyone.get("/v1/packages", params={"fonds": "odd"}).json()["items"]
    assert [item["identifier"] for item in odd] == ["list/1", "list/3"]
    assert all(item["policy_held"] for item in odd)
    assert everyone.get("/v1/packages", params={"below_policy": "true"}).json()["items"] == []
    assert everyone.get("/v1/packages", params={"cursor": "!"}).json()["code"] == "bad-cursor"


def test_events_are_a_chain_that_can_be_read_on(stored: Running, everyone: httpx.Client) -> None:
    first = everyone.get("/v1/events", params={"limit": 3}).json()
    assert [event["seq"] for event in first["items"]] == [1, 2, 3]
    assert first["more"] is True
    rest = everyone.get("/v1/events", params={"after": first["last"], "limit": 1}).json()["items"]
    assert rest[0]["previous"] == first["items"][-1]["hash"]
    nothing = everyone.get("/v1/events", params={"after": 10**9}).json()
    assert (nothing["items"], nothing["last"], nothing["more"]) == ([], 10**9, False)
    of_one = events(everyone, identifier="list/1")
    assert {event["identifier"] for event in of_one} == {"list/1"}
    assert everyone.get("/v1/packages/list/1").json()["events_count"] == len(of_one)


def test_a_verification_is_ordered_followed_and_recorded(stored: Running, everyone: httpx.Client) -> None:
    before = everyone.get("/v1/packages/list/0").json()["versions"][0]["copies"]
    ordered = everyone.post("/v1/verifications", json={"identifier": "list/0"})
    assert ordered.status_code == 202
    assert ordered.json()["total"] == 2
    done = eventually(lambda: (d := everyone.get(ordered.headers["location"]).json())["state"] == "done" and d)
    assert (done["checked"], done["good"], done["bad"]) == (2, 2, 0)
    after = everyone.get("/v1/packages/list/0").json()["versions"][0]["copies"]
    assert all(new["proved_at"] > old["proved_at"] for old, new in zip(before, after, strict=True))
    assert ordered.json()["id"] in {order["id"] for order in everyone.get("/v1/verifications").json()["items"]}
    asked = events(everyone, type="verification-requested")[-1]
    assert asked["agent"].startswith("token:")


@pytest.mark.parametrize("order", [{}, {"all": True, "volume": "nas-a"}, {"volume": "", "identifier": ""}])
def test_an_order_says_exactly_what(everyone: httpx.Client, order: dict) -> None:
    assert everyone.post("/v1/verifications", json=order).json()["code"] == "bad-order"


def test_orders_for_what_is_not_there(everyone: httpx.Client) -> None:
    assert everyone.post("/v1/verifications", json={"volume": "no"}).json()["code"] == "no-such-volume"
    assert everyone.post("/v1/verifications", json={"identifier": "no"}).json()["code"] == "no-such-package"
    assert everyone.post("/v1/repairs", json={"identifier": "no"}).json()["code"] == "no-such-package"
    assert everyone.post("/v1/volumes/no/init").json()["code"] == "no-such-volume"
    assert everyone.post("/v1/volumes/no/mode", json={"mode": "active"}).json()["code"] == "no-such-volume"
    assert everyone.get("/v1/verifications/no").json()["code"] == "no-such-verification"
    assert everyone.post("/v1/evidence/99/release").json()["code"] == "no-such-evidence"
    assert everyone.delete("/v1/tokens/no").json()["code"] == "no-such-token"
    assert everyone.get("/v1/ingests/no").json()["code"] == "no-such-ingest"
    assert everyone.get("/v1/receipts/no").json()["code"] == "no-such-package"


def test_damage_is_repaired_and_its_evidence_released_once(stored: Running, everyone: httpx.Client) -> None:
    victim = next(iter(sorted(stored.root.glob("nas-?/ocfl/**/2.txt"))))
    victim.chmod(0o644)
    victim.write_bytes(b"?")
    everyone.post("/v1/verifications", json={"identifier": "list/2"})
    (kept,) = eventually(lambda: everyone.get("/v1/evidence").json()["items"])
    assert (kept["identifier"], kept["volume"]) == ("list/2", victim.relative_to(stored.root).parts[0])
    eventually(lambda: everyone.get("/v1/packages/list/2").json()["policy_held"])
    assert victim.read_bytes() == b"2"
    place = stored.root / kept["volume"] / kept["path"]
    assert place.exists()
    assert everyone.post(f"/v1/evidence/{kept['id']}/release").json()["released_at"]
    assert not place.exists()
    assert everyone.get("/v1/evidence").json()["items"] == []
    assert len(everyone.get("/v1/evidence", params={"released": "true"}).json()["items"]) == 1
    again = everyone.post(f"/v1/evidence/{kept['id']}/release")
    assert (again.status_code, again.json()["code"]) == (409, "already-released")
    assert events(everyone, type="evidence-released")[-1]["agent"].startswith("token:")


def test_a_volume_is_begun_and_used_and_cannot_be_begun_twice(stored: Running, everyone: httpx.Client) -> None:
    unseen = next(v for v in everyone.get("/v1/volumes").json()["items"] if v["name"] == "nas-c")
    assert (unseen["uuid"], unseen["condition"]) == (None, "unknown")
    assert any(a["code"] == "volume-never-seen" for a in everyone.get("/v1/status").json()["alerts"])
    made = everyone.post("/v1/volumes/nas-c/init")
    assert made.status_code == 201, made.text
    assert (made.json()["condition"], made.json()["mode"]) == ("online", "active")
    assert (stored.root / "nas-c" / "vault-volume.json").exists()
    twice = everyone.post("/v1/volumes/nas-c/init")
    assert (twice.status_code, twice.json()["code"]) == (409, "already-initialised")
    identity = stored.root / "nas-c" / "vault-volume.json"
    identity.rename(stored.root / "identity")
    again = everyone.post("/v1/volumes/nas-c/init")
    assert (again.status_code, again.json()["code"]) == (409, "volume-known")
    (stored.root / "identity").rename(identity)
    alive = everyone.post("/v1/volumes/nas-c/replace", json={"give_up": 0})
    assert (alive.status_code, alive.json()["code"]) == (409, "volume-alive")
    assert events(everyone, type="volume-added")[-1]["volume"] == "nas-c"


def test_a_volume_that_is_needed_cannot_be_retired(stored: Running, everyone: httpx.Client) -> None:
    refused = everyone.post("/v1/volumes/nas-a/mode", json={"mode": "retired"})
    assert (refused.status_code, refused.json()["code"]) == (409, "volume-needed")
    assert everyone.post("/v1/volumes/nas-a/mode", json={"mode": "gone"}).json()["code"] == "invalid"
    changed = everyone.post("/v1/volumes/nas-a/mode", json={"mode": "read-only"})
    assert changed.json()["mode"] == "read-only"
    event = events(everyone, type="volume-changed")[-1]
    assert event["detail"] == {"was": "active", "is": "read-only", "reason": "ordered"}
    number = len(events(everyone, type="volume-changed"))
    everyone.post("/v1/volumes/nas-a/mode", json={"mode": "read-only"})
    assert len(events(everyone, type="volume-changed")) == number
    assert everyone.post("/v1/volumes/nas-a/mode", json={"mode": "active"}).json()["mode"] == "active"


def test_a_checkpoint_is_signed_and_kept_on_the_volumes(stored: Running, everyone: httpx.Client) -> None:
    made = everyone.post("/v1/ledger/checkpoints")
    assert made.status_code == 201
    assert verify_checkpoint(made.json(), [stored.node.key.public_key]).ok
    assert list((stored.root / "nas-a" / "node").rglob("*.json"))


def test_the_node_on_one_screen(stored: Running, everyone: httpx.Client) -> None:
    status = everyone.get("/v1/status").json()
    assert status["node"] == "test"
    assert status["policy_held"] is True
    assert status["packages"] == 5
    assert {v["name"] for v in status["volumes"]} == {"nas-a", "nas-b", "nas-c"}
    assert sum(v["copies"].get("good", 0) for v in status["volumes"]) == 10
    assert status["ledger"]["seq"] > 0
    assert status["key_id"] == stored.node.key.key_id
    done = everyone.get("/v1/tasks", params={"all": "true", "limit": 1000}).json()["items"]
    assert {"verify", "replicate"} <= {task["kind"] for task in done}
    assert all(task["state"] in ("ready", "running") for task in everyone.get("/v1/tasks").json()["items"])


def test_metrics_are_asked_for_with_what_the_client_accepts(running: Running) -> None:
    with running.client() as client:
        response = client.get("/metrics", headers={"Accept": "application/openmetrics-text"})
    assert "openmetrics" in response.text
    assert response.headers["content-type"] == "text/plain; version=0.0.4"


def test_a_volume_that_is_away_is_an_outage_and_said_so(stored: Running, everyone: httpx.Client) -> None:
    """The last test of this module: it takes the volumes away."""
    away: list[Path] = []
    for name in ("nas-a", "nas-b", "nas-c"):
        shutil.move(stored.root / name, stored.root / f"{name}.away")
        away.append(stored.root / f"{name}.away")
    try:
        ready = eventually(lambda: (r := everyone.get("/readyz")).status_code == 503 and r)
        assert "No volume is on-line." in ready.json()["reasons"]
        assert everyone.get("/healthz").status_code == 200
        status = everyone.get("/v1/status").json()
        assert status["alerts"][0]["severity"] == "critical"
        assert {"volume-offline"} <= {alert["code"] for alert in status["alerts"]}
        assert status["policy_held"] is True
        refused = everyone.put("/v1/packages/nowhere", content=b"x")
        assert (refused.status_code, refused.json()["code"]) == (503, "no-volume")
        assert refused.headers["retry-after"]
        fetched = everyone.get("/v1/content/list/3", params={"file": "3.txt"})
        assert (fetched.status_code, fetched.json()["code"]) == (503, "volume-offline")
        copies = everyone.get("/v1/packages/list/3").json()["versions"][0]["copies"]
        assert {copy["state"] for copy in copies} == {"good"}
    finally:
        for path in away:
            shutil.move(path, path.with_suffix(""))
    eventually(lambda: everyone.get("/readyz").status_code == 200)
    # Ready is a node with one volume; this file may be on the one that comes back last.
    eventually(lambda: everyone.get("/v1/content/list/3", params={"file": "3.txt"}).content == b"3")
