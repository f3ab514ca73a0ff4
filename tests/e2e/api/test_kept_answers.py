"""The state of a package is answered without asking the catalogue again while nothing changed, and anew when it did."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx
import pytest
import sqlalchemy as sa

from tests.support.serving import Running, eventually


@contextlib.contextmanager
def counted(running: Running) -> Iterator[list[str]]:
    """The questions about packages that the catalogue is asked meanwhile."""
    engine, asked = running.node.catalogue._engine, []

    def note(_connection, _cursor, statement, *_more) -> None:
        if "FROM packages" in statement:
            asked.append(statement)

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield asked
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)


def deposit(client: httpx.Client, identifier: str, body: bytes, **headers: str) -> None:
    assert client.put(f"/v1/packages/{identifier}", content=body, headers=headers).status_code == 201


def settled(running: Running, client: httpx.Client, identifier: str) -> dict:
    """As it is when the policy holds and no work is left."""
    eventually(lambda: client.get(f"/v1/packages/{identifier}").json()["policy_held"])
    with running.client("read") as reader:
        eventually(lambda: reader.get("/v1/tasks").json()["items"] == [])
    return client.get(f"/v1/packages/{identifier}").json()


def test_who_asks_again_costs_no_question(running: Running, depositor: httpx.Client) -> None:
    deposit(depositor, "kept/1", b"one")
    settled(running, depositor, "kept/1")
    with counted(running) as asked:
        first, again = (depositor.get("/v1/packages/kept/1") for _ in range(2))
    assert asked == []
    assert (first.status_code, first.content, first.headers["etag"]) == (200, again.content, again.headers["etag"])
    same = depositor.get("/v1/packages/kept/1", headers={"If-None-Match": first.headers["etag"]})
    assert same.status_code == 304


def test_what_changes_is_told_with_the_next_answer(running: Running, depositor: httpx.Client) -> None:
    deposit(depositor, "kept/2", b"one")
    before = settled(running, depositor, "kept/2")
    deposit(depositor, "kept/2", b"two", **{"If-Match": '"v1"'})
    after = depositor.get("/v1/packages/kept/2").json()
    assert (before["head"], after["head"], len(after["versions"])) == (1, 2, 2)
    proved = settled(running, depositor, "kept/2")["last_proved_at"]
    with running.client("operate") as operator:
        assert operator.post("/v1/verifications", json={"identifier": "kept/2"}).status_code in (200, 202)
    eventually(lambda: depositor.get("/v1/packages/kept/2").json()["last_proved_at"] > proved)


@pytest.mark.parametrize("agency", ["Sở Nội vụ", ""])
def test_what_is_kept_is_shown_to_none_who_may_not_see_it(
    running: Running, depositor: httpx.Client, agency: str
) -> None:
    name = f"kept/of-{len(agency)}"
    assert depositor.put(f"/v1/packages/{name}", params={"agency": agency}, content=b"x").status_code == 201
    assert depositor.get(f"/v1/packages/{name}").status_code == 200
    with running.local() as local:
        order = {"name": f"stranger-{len(agency)}", "scopes": ["read"], "agency": "Sở Y tế"}
        secret = local.post("/v1/tokens", json=order).json()["token"]
    stranger = {"Authorization": f"Bearer {secret}"}
    there = httpx.get(f"{running.base}/v1/packages/{name}", headers=stranger)
    absent = httpx.get(f"{running.base}/v1/packages/{name}-none", headers=stranger)
    assert there.status_code == absent.status_code == 404
    assert there.json()["code"] == absent.json()["code"]
