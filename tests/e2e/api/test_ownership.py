"""A token that is bound to an agency: its own packages it has, and of all others it learns nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import NamedTuple

import httpx
import pytest

from tests.e2e.api.test_uploads import metadata
from tests.support.patience import PATIENCE
from tests.support.serving import Running

UNKNOWN = "4f1c6f0e-0000-4a54-8f1e-0f0f4a8a4f5e"
OURS, THEIRS, NOBODYS = "bound/ours", "bound/theirs", "bound/nobodys"
AGENCY, OTHER = "Sở Nội vụ", "Sở Y tế"
BODY = b"Quyet dinh so 12"


class Doors(NamedTuple):
    """One client of each kind."""

    bound: httpx.Client
    free: httpx.Client


def token(running: Running, name: str, **order: object) -> dict:
    with running.local() as client:
        made = client.post("/v1/tokens", json={"name": name, "scopes": ["deposit", "read"], **order})
    assert made.status_code == 201, made.text
    return made.json()


def client_with(running: Running, secret: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {secret}"}
    return httpx.Client(base_url=running.base, headers=headers, timeout=30 * PATIENCE, trust_env=False)


@pytest.fixture(scope="module")
def doors(running: Running) -> Iterator[Doors]:
    with (
        client_with(running, token(running, "bound", agency=AGENCY)["token"]) as bound,
        client_with(running, token(running, "free")["token"]) as free,
    ):
        assert bound.put(f"/v1/packages/{OURS}", content=BODY).status_code == 201
        assert free.put(f"/v1/packages/{THEIRS}", params={"agency": OTHER}, content=BODY).status_code == 201
        assert free.put(f"/v1/packages/{NOBODYS}", content=BODY).status_code == 201
        yield Doors(bound, free)


def shape(answer: httpx.Response, identifier: str) -> tuple[object, ...]:
    """All that an answer tells, but for what names the request and the identifier that was asked for."""
    told = {k: v for k, v in answer.headers.items() if k not in ("x-request-id", "date", "content-length")}
    body = json.loads(answer.text.replace(identifier, "ID")) if answer.content else {}
    body.pop("instance", None)
    return answer.status_code, sorted(told.items()), json.dumps(body, sort_keys=True)


@pytest.mark.parametrize(
    ("method", "address"),
    [
        ("GET", "/v1/packages/{}"),
        ("GET", "/v1/receipts/{}"),
        ("GET", "/v1/receipts/{}?version=7"),
        ("GET", "/v1/content/{}"),
        ("GET", "/v1/content/{}?file=content"),
        ("GET", "/v1/content/{}?format=tar"),
        ("GET", "/v1/content/{}?version=7"),
        ("HEAD", "/v1/content/{}?file=content"),
    ],
)
def test_what_one_may_not_see_is_as_if_it_were_not_there(doors: Doors, method: str, address: str) -> None:
    unknown = doors.bound.request(method, address.format("bound/no-such"))
    assert unknown.status_code == 404
    for hidden in (THEIRS, NOBODYS):
        answer = doors.bound.request(method, address.format(hidden))
        assert shape(answer, hidden) == shape(unknown, "bound/no-such")
        seen = doors.free.request(method, address.format(hidden))
        assert (seen.status_code, seen.json()["code"] if seen.content and seen.status_code == 404 else "") in (
            (200, ""), (404, "no-such-version"),
        )  # fmt: skip


def test_its_own_packages_it_has_in_full(doors: Doors) -> None:
    found = doors.bound.get(f"/v1/packages/{OURS}").json()
    assert found["descriptive"]["agency"] == AGENCY
    assert doors.bound.get(f"/v1/content/{OURS}", params={"file": "content"}).content == BODY
    assert doors.bound.get(f"/v1/receipts/{OURS}").json()["identifier"] == OURS
    assert doors.bound.get(f"/v1/ingests/{found['versions'][0]['ingest_id']}").json()["state"] == "receipted"


def test_ingests_of_others_are_as_if_they_were_not_there(doors: Doors) -> None:
    theirs = doors.free.get(f"/v1/packages/{THEIRS}").json()["versions"][0]["ingest_id"]
    unknown = doors.bound.get("/v1/ingests/4f1c6f0e-0000-4a54-8f1e-0f0f4a8a4f5e")
    hidden = doors.bound.get(f"/v1/ingests/{theirs}")
    assert doors.free.get(f"/v1/ingests/{theirs}").status_code == 200
    assert shape(hidden, theirs) == shape(unknown, "4f1c6f0e-0000-4a54-8f1e-0f0f4a8a4f5e")


def test_listings_have_only_what_is_their_own(doors: Doors) -> None:
    def listed(client: httpx.Client, **filters: str) -> list[str]:
        return [
            p["identifier"] for p in client.get("/v1/packages", params={"prefix": "bound/", **filters}).json()["items"]
        ]

    assert listed(doors.bound) == [OURS]
    assert listed(doors.bound, agency=AGENCY) == [OURS]
    assert listed(doors.bound, agency=OTHER) == listed(doors.bound, agency="no such") == []
    assert listed(doors.free) == [NOBODYS, OURS, THEIRS]


def test_the_node_as_a_whole_is_not_theirs_to_see(doors: Doors) -> None:
    for address in ("/v1/status", "/v1/tasks", "/v1/volumes", "/v1/verifications", "/metrics"):
        refused = doors.bound.get(address)
        assert (refused.status_code, refused.json()["code"]) == (403, "whole-node"), address
        assert doors.free.get(address).status_code == 200


def test_a_deposit_is_of_their_agency_and_of_no_other(doors: Doors) -> None:
    refused = doors.bound.put("/v1/packages/bound/x", params={"agency": OTHER}, content=BODY)
    assert (refused.status_code, refused.json()["code"]) == (403, "not-your-agency")
    again = doors.bound.put(f"/v1/packages/{OURS}", params={"agency": AGENCY}, content=BODY)
    assert again.status_code == 200


@pytest.mark.parametrize("body", [BODY, b"something else"])
@pytest.mark.parametrize("headers", [{}, {"If-None-Match": "*"}])
def test_anothers_identifier_cannot_be_used_and_tells_nothing_of_its_content(
    doors: Doors, body: bytes, headers: dict[str, str]
) -> None:
    before = doors.free.get(f"/v1/packages/{THEIRS}").json()["versions"]
    refused = doors.bound.put(f"/v1/packages/{THEIRS}", content=body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "identifier-taken")
    assert OTHER not in refused.text
    assert doors.free.get(f"/v1/packages/{THEIRS}").json()["versions"] == before


@pytest.mark.parametrize("tag", ['"v1"', '"v9"', "*"])
def test_a_condition_on_anothers_package_holds_as_little_as_on_an_unknown_one(doors: Doors, tag: str) -> None:
    hidden = doors.bound.put(f"/v1/packages/{THEIRS}", content=BODY, headers={"If-Match": tag})
    unknown = doors.bound.put("/v1/packages/bound/no-such", content=BODY, headers={"If-Match": tag})
    assert hidden.status_code == 412
    assert shape(hidden, THEIRS) == shape(unknown, "bound/no-such")


def test_with_a_prefix_of_its_own_it_does_not_even_learn_which_identifiers_are_taken(
    running: Running, doors: Doors
) -> None:
    with client_with(running, token(running, "prefixed", agency=AGENCY, prefix="H49/")["token"]) as prefixed:
        taken, free = (prefixed.put(f"/v1/packages/{i}", content=BODY) for i in (THEIRS, "bound/free"))
        assert taken.status_code == 403
        assert shape(taken, THEIRS) == shape(free, "bound/free")
        assert prefixed.put("/v1/packages/H49/1", content=BODY).status_code == 201


@pytest.mark.parametrize("scopes", [["deposit", "operate"], ["approve"], ["read", "audit"]])
def test_what_is_about_the_whole_node_cannot_be_bound(running: Running, scopes: list[str]) -> None:
    with running.local() as client:
        refused = client.post("/v1/tokens", json={"name": "too-much", "scopes": scopes, "agency": AGENCY})
    assert (refused.status_code, refused.json()["code"]) == (400, "bad-token")


def test_a_token_is_good_only_from_its_networks(running: Running) -> None:
    here = token(running, "here", networks=["127.0.0.0/8", "::1/128"])["token"]
    elsewhere = token(running, "elsewhere", networks=["10.9.0.0/16"])["token"]
    with client_with(running, here) as client:
        assert client.get("/v1/packages").status_code == 200
    with client_with(running, elsewhere) as client, client_with(running, "khoso_unknown") as unknown:
        refused = client.get("/v1/packages")
        assert refused.status_code == 401
        assert shape(refused, "ID") == shape(unknown.get("/v1/packages"), "ID")
    with running.local() as client:
        wrong = client.post("/v1/tokens", json={"name": "w", "scopes": ["read"], "networks": ["10.9.0.1/16"]})
        assert wrong.json()["code"] == "bad-token"
        listed = {t["name"]: t for t in client.get("/v1/tokens").json()["items"]}
    assert listed["elsewhere"]["networks"] == ["10.9.0.0/16"]


def test_a_token_of_the_same_name_for_another_agency_has_nothing_of_what_the_first_one_began(running: Running) -> None:
    tus = {"Tus-Resumable": "1.0.0"}
    begin = {**tus, "Upload-Length": "9", "Upload-Metadata": metadata(identifier="again/upload", title="Tieu de")}
    order = {"registration_code": "GN-7", "agency_name": "So", "items": [{"identifier": "a", "files": 1, "bytes": 1}]}
    with client_with(running, token(running, "again", agency=AGENCY)["token"]) as first:
        upload = first.post("/v1/uploads", headers=begin).headers["location"]
        batch = first.post("/v1/batches", json=order).json()["id"]
    for following in ({"agency": OTHER}, {"agency": AGENCY, "prefix": "elsewhere/"}):
        with running.local() as local:
            assert local.delete("/v1/tokens/again").status_code == 200
        with client_with(running, token(running, "again", **following)["token"]) as second:
            assert second.head(upload, headers=tus).status_code == 404
            send = {**tus, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
            assert second.patch(upload, headers=send, content=b"not yours").json()["code"] == "no-such-upload"
            assert second.delete(upload, headers=tus).json()["code"] == "no-such-upload"
            if following["agency"] != OTHER:
                continue
            hidden, unknown = (
                second.put("/v1/packages/again/x", params={"batch": b}, content=BODY) for b in (batch, UNKNOWN)
            )
            assert hidden.status_code == 404
            assert shape(hidden, batch) == shape(unknown, UNKNOWN)
            taken = second.post("/v1/batches", json=order)
            assert (taken.status_code, taken.json()["code"]) == (409, "batch-exists")
            assert batch not in taken.text
            assert AGENCY not in taken.text
    with running.local() as local:
        assert local.delete("/v1/tokens/again").status_code == 200
    with client_with(running, token(running, "again", agency=AGENCY)["token"]) as renewed:
        assert renewed.head(upload, headers=tus).headers["upload-offset"] == "0"
        assert renewed.delete(upload, headers=tus).status_code == 204
