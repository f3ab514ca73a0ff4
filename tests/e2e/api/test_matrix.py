"""Who may do what to what: every address, for every kind of credential, on packages of one's own, of others, of nobody.

``ROWS`` is the table. An address that is in the OpenAPI document and not here fails, and so does one that is only here.
"""

from __future__ import annotations

import dataclasses
import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.support.serving import Running, eventually

SCOPES = ("deposit", "read", "operate", "approve", "audit")
OURS, THEIRS = "Sở Nội vụ", "Sở Y tế"
DEPOSIT, LOOK, FOLLOW = {"deposit"}, {"read", "operate", "audit"}, {"deposit", "read", "operate", "audit"}
OPERATE, APPROVE, AUDIT, OPEN = {"operate"}, {"approve"}, {"audit", "operate"}, {*SCOPES, ""}
UNKNOWN_ID = "4f1c6f0e-0000-4a54-8f1e-0f0f4a8a4f5e"
TUS = {"Tus-Resumable": "1.0.0"}
NEW_UPLOAD = {**TUS, "Upload-Length": "5"}


def metadata(**said: str) -> dict[str, str]:
    return {"Upload-Metadata": ",".join(f"{k} {b64encode(v.encode()).decode()}" for k, v in said.items())}


@dataclass(frozen=True)
class Row:
    """An address. ``ok``: statuses of those who may. ``path`` has ``{package}``, ``{ingest}``, ``{batch}`` or
    ``{upload}`` where it is about what somebody owns, and names something that is not there (or nothing) elsewhere.

    ``hidden``: the status for what is there and is another's: that of what is not there, unless it says otherwise.
    ``own_only``: what others of the same agency made is not theirs either.
    """

    scopes: set[str]
    method: str
    path: str
    ok: tuple[int, ...] = (200,)
    body: object = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    hidden: int = 404
    bound: bool | None = None

    @property
    def owned(self) -> bool:
        return "{" in self.path or self.body == {"identifier": "{package}"}

    @property
    def lets_bound_in(self) -> bool:
        return self.owned if self.bound is None else self.bound


ROWS: dict[str, Row] = {
    "put_package": Row(DEPOSIT, "PUT", "/v1/packages/{package}", (200, 201), b"matrix", hidden=409),
    "get_package": Row(FOLLOW, "GET", "/v1/packages/{package}"),
    "list_packages": Row(LOOK, "GET", "/v1/packages", bound=True),
    "get_ingest": Row(FOLLOW, "GET", "/v1/ingests/{ingest}"),
    "follow_ingest": Row(FOLLOW, "GET", "/v1/ingests/{ingest}/events"),
    "get_receipt": Row(FOLLOW, "GET", "/v1/receipts/{package}"),
    "get_content": Row({"read"}, "GET", "/v1/content/{package}"),
    "upload_options": Row(DEPOSIT, "OPTIONS", "/v1/uploads", (204,), bound=True),
    "create_upload": Row(
        DEPOSIT, "POST", "/v1/uploads", (201,), None, {**NEW_UPLOAD, **metadata(identifier="matrix/up")}, bound=True
    ),
    "head_upload": Row(DEPOSIT, "HEAD", f"/v1/uploads/{UNKNOWN_ID}", (404,), None, TUS, bound=True),
    "append_upload": Row(
        DEPOSIT, "PATCH", f"/v1/uploads/{UNKNOWN_ID}", (404,), b"x",
        {**TUS, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}, bound=True,
    ),
    "end_upload": Row(DEPOSIT, "DELETE", f"/v1/uploads/{UNKNOWN_ID}", (404,), None, TUS, bound=True),
    "open_batch": Row(DEPOSIT, "POST", "/v1/batches", (400,), {}, bound=True),
    "list_batches": Row(FOLLOW, "GET", "/v1/batches", bound=True),
    "get_batch": Row(FOLLOW, "GET", "/v1/batches/{batch}"),
    "list_batch_items": Row(FOLLOW, "GET", "/v1/batches/{batch}/items"),
    "close_batch": Row(FOLLOW, "POST", "/v1/batches/{batch}/close", (200, 400, 403, 409)),
    "get_batch_receipt": Row(FOLLOW, "GET", "/v1/batches/{batch}/receipt", (404,)),
    "list_events": Row(AUDIT, "GET", "/v1/events"),
    "list_volumes": Row(LOOK, "GET", "/v1/volumes"),
    "initialise_volume": Row(OPERATE, "POST", "/v1/volumes/no-such/init", (404,)),
    "change_mode": Row(OPERATE, "POST", "/v1/volumes/no-such/mode", (404,), {"mode": "active"}),
    "replace_volume": Row(OPERATE, "POST", "/v1/volumes/no-such/replace", (404,)),
    "order_scan": Row(OPERATE, "POST", "/v1/volumes/no-such/scan", (404,), {}),
    "get_scan": Row(LOOK, "GET", "/v1/volumes/no-such/scan", (404,)),
    "order_adoption": Row(OPERATE, "POST", "/v1/volumes/no-such/adoptions", (404,), {"path": "x"}),
    "get_adoption": Row(OPERATE, "GET", f"/v1/volumes/no-such/adoptions/{UNKNOWN_ID}", (404,)),
    "list_recalls": Row({"read"}, "GET", "/v1/recalls", bound=True),
    "get_recall": Row({"read"}, "GET", f"/v1/recalls/{UNKNOWN_ID}", (404,), bound=True),
    "list_tapes": Row(LOOK, "GET", "/v1/tapes"),
    "list_requests": Row(LOOK, "GET", "/v1/tapes/requests"),
    "get_tape": Row(LOOK, "GET", "/v1/tapes/VLT001L8", (404,)),
    "format_tape": Row(OPERATE, "POST", "/v1/tapes/VLT001L8/format", (404,), {"pool": "no-such"}),
    "load_tape": Row(OPERATE, "POST", "/v1/tapes/VLT001L8/load", (404,)),
    "unload_tape": Row(OPERATE, "POST", "/v1/tapes/VLT001L8/unload", (404,)),
    "checkout_tape": Row(OPERATE, "POST", "/v1/tapes/VLT001L8/checkout", (404,), {}),
    "clean_drive": Row(OPERATE, "POST", "/v1/libraries/no-such/drives/0/clean", (404,)),
    "release_drive": Row(OPERATE, "POST", "/v1/libraries/no-such/drives/0/release", (404,)),
    "clear_tape": Row(OPERATE, "POST", "/v1/tapes/VLT001L8/clear", (404,)),
    "import_tape": Row(OPERATE, "POST", "/v1/tapes/VLT001L8/import", (404,)),
    "get_import": Row(OPERATE, "GET", "/v1/tapes/VLT001L8/import", (404,)),
    "stop_import": Row(OPERATE, "DELETE", "/v1/tapes/VLT001L8/import", (404,)),
    "get_tape_file": Row(OPERATE, "GET", "/v1/tapes/VLT001L8/content?file=a", (404,)),
    "list_tape_files": Row(OPERATE, "GET", "/v1/tapes/VLT001L8/files", (404,)),
    "checkin_tape": Row(OPERATE, "POST", "/v1/tapes/VLT001L8/checkin", (404,)),
    "take_inventory": Row(OPERATE, "POST", "/v1/libraries/no-such/inventory", (404,)),
    "make_cartridge": Row(OPERATE, "POST", "/v1/libraries/no-such/cartridges", (404,), {"barcode": "VLT001L8"}),
    "list_tasks": Row(LOOK, "GET", "/v1/tasks"),
    "order_verifications": Row(AUDIT, "POST", "/v1/verifications", (404,), {"volume": "no-such"}),
    "list_readings": Row(LOOK, "GET", "/v1/readings?from=2026-11-22"),
    "list_verifications": Row(LOOK, "GET", "/v1/verifications"),
    "get_verification": Row(LOOK, "GET", f"/v1/verifications/{UNKNOWN_ID}", (404,)),
    "order_repairs": Row(OPERATE, "POST", "/v1/repairs", (404,), {"identifier": "no-such"}),
    "list_evidence": Row(AUDIT, "GET", "/v1/evidence"),
    "release_evidence": Row(OPERATE, "POST", "/v1/evidence/99/release", (404,)),
    "make_checkpoint": Row(OPERATE, "POST", "/v1/ledger/checkpoints", (201,)),
    "make_backup": Row(OPERATE, "POST", "/v1/catalog/backups", (201, 409, 503)),
    "order_recall": Row({"read"}, "POST", "/v1/recalls", (202, 409, 503), {"identifier": "{package}"}),
    "get_volume": Row(LOOK, "GET", "/v1/volumes/nas-a"),
    "list_disks": Row(LOOK, "GET", "/v1/disks"),
    "forget_disk": Row(OPERATE, "DELETE", "/v1/disks/no-such", (404,)),
    "get_status": Row(LOOK, "GET", "/v1/status"),
    "list_tokens": Row(APPROVE, "GET", "/v1/tokens"),
    "create_token": Row(APPROVE, "POST", "/v1/tokens", (400,), {"name": "x", "scopes": []}),
    "revoke_token": Row(APPROVE, "DELETE", "/v1/tokens/no-such", (404,)),
    "healthz": Row(OPEN, "GET", "/healthz", bound=True),
    "readyz": Row(OPEN, "GET", "/readyz", (200, 503), bound=True),
    "metrics": Row(OPEN, "GET", "/metrics", bound=False),
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """Credentials by role, and for each owner what stands in the paths."""

    running: Running
    tokens: dict[str, str]
    ours: dict[str, str]
    theirs: dict[str, str]
    nobodys: dict[str, str]
    unknown: dict[str, str]

    def ask(self, row: Row, role: str, things: dict[str, str] | None = None) -> httpx.Response:
        path, headers = row.path, dict(row.headers)
        content = row.body if isinstance(row.body, bytes | None) else json.dumps(row.body).encode()
        for name, value in (things or self.ours).items():
            path = path.replace(f"{{{name}}}", value)
            content = content.replace(f"{{{name}}}".encode(), value.encode()) if content else content
        if content is not None and not isinstance(row.body, bytes):
            headers["Content-Type"] = "application/json"
        if role != "local" and self.tokens[role]:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        opened = self.running.local() if role == "local" else self.running.client()
        with opened as client:
            return client.request(row.method, path, content=content, headers=headers)


@pytest.fixture(scope="module")
def world(running: Running) -> World:
    made: dict[str, str] = {"nobody": "", "unknown": "khoso_unknown"}
    with running.local() as operator:

        def token(role: str, *scopes: str, **order: object) -> None:
            answer = operator.post("/v1/tokens", json={"name": f"m-{role}", "scopes": list(scopes), **order})
            assert answer.status_code == 201, answer.text
            made[role] = answer.json()["token"]

        for scope in SCOPES:
            token(scope, scope)
        token("bound-deposit", "deposit", agency=OURS)
        token("bound-read", "read", agency=OURS)
        token("other-deposit", "deposit", agency=THEIRS)
        token("revoked", *SCOPES)
        operator.delete("/v1/tokens/m-revoked")
        token("expired", *SCOPES, expires_at=(datetime.now(UTC) - timedelta(seconds=1)).isoformat())
        token("elsewhere", *SCOPES, networks=["192.0.2.0/24"])

    def things(role: str, agency: str, name: str) -> dict[str, str]:
        with running.client() as client:
            client.headers["Authorization"] = f"Bearer {made[role]}"
            params = {"agency": agency} if agency else {}
            assert client.put(f"/v1/packages/matrix/{name}", params=params, content=b"matrix").status_code == 201
            ingest = client.get(f"/v1/packages/matrix/{name}").json()["versions"][0]["ingest_id"]
            listed = {"identifier": f"matrix/{name}/listed", "files": 1, "bytes": 6}
            order = {"registration_code": f"M-{name}", "delivery_number": "1", "agency": agency or "none",
                     "agency_name": "A", "items": [listed]}  # fmt: skip
            batch = client.post("/v1/batches", json=order)
            assert batch.status_code == 201, batch.text
            return {"package": f"matrix/{name}", "ingest": ingest, "batch": batch.json()["id"]}

    ours = things("bound-deposit", OURS, "ours")
    theirs = things("other-deposit", THEIRS, "theirs")
    nobodys = things("deposit", "", "nobodys")
    unknown = {"package": "matrix/no-such", "ingest": UNKNOWN_ID, "batch": UNKNOWN_ID}
    return World(running, made, ours, theirs, nobodys, unknown)


def code_of(answer: httpx.Response) -> str:
    return answer.json()["code"] if answer.status_code >= 400 and answer.content else ""


def told(answer: httpx.Response, things: dict[str, str]) -> tuple[int, list[tuple[str, str]], str]:
    """All that an answer tells, but for what names the request and the thing that was asked for."""
    headers = sorted((k, v) for k, v in answer.headers.items() if k not in ("x-request-id", "date", "content-length"))
    text = answer.text
    for value in things.values():
        text = text.replace(value, "IT")
    body = {k: v for k, v in json.loads(text).items() if k != "instance"} if text else {}
    return answer.status_code, headers, json.dumps(body, sort_keys=True)


def test_every_address_is_in_the_table_and_no_other(running: Running) -> None:
    with running.client() as client:
        document = client.get("/openapi.json").json()
    served = {
        operation["operationId"]: (method.upper(), set(operation.get("x-khoso-scopes", [*SCOPES, ""])))
        for item in document["paths"].values()
        for method, operation in item.items()
    }
    assert set(ROWS) == set(served), "a new address needs a row here"
    for name, row in ROWS.items():
        assert (row.method, row.scopes) == served[name], name


@pytest.mark.parametrize("name", ROWS)
def test_who_shows_no_token_or_a_wrong_one_is_nobody(world: World, name: str) -> None:
    row = ROWS[name]
    nobody = world.ask(row, "nobody")
    if row.scopes == OPEN:
        assert nobody.status_code in row.ok
    else:
        assert nobody.status_code == 401
        assert nobody.headers["www-authenticate"] == 'Bearer realm="khoso"'
    wrong = [world.ask(row, role) for role in ("unknown", "revoked", "expired", "elsewhere")]
    for answer in wrong:
        assert answer.status_code == 401, answer.text
        assert answer.headers["www-authenticate"] == 'Bearer realm="khoso", error="invalid_token"'
    if row.method != "HEAD":
        assert code_of(nobody) in ("", "no-credentials")
        assert {code_of(answer) for answer in wrong} == {"bad-credentials"}
    # What is wrong with a token is nobody's business, whatever it was.
    assert len({json.dumps(told(answer, world.ours)) for answer in wrong}) == 1


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", ROWS)
def test_each_scope_opens_what_it_should_and_nothing_else(world: World, name: str, scope: str) -> None:
    row = ROWS[name]
    for things in (world.ours, world.theirs, world.nobodys) if row.owned else (world.ours,):
        answer = world.ask(row, scope, things)
        if scope in row.scopes:
            visible = not (scope == "deposit" and "{batch}" in row.path and things is not world.nobodys)
            assert answer.status_code in (row.ok if visible else (404,)), answer.text
            assert code_of(answer) != "wrong-scope" or name == "close_batch"
        else:
            assert answer.status_code == 403, answer.text
            assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
            if row.method != "HEAD":
                assert code_of(answer) == "wrong-scope"


@pytest.mark.parametrize("role", ["bound-deposit", "bound-read"])
@pytest.mark.parametrize("name", ROWS)
def test_an_agencys_token_has_its_own_and_learns_nothing_of_others(world: World, name: str, role: str) -> None:
    row = ROWS[name]
    if role.removeprefix("bound-") not in row.scopes:
        assert world.ask(row, role).status_code == 403
        return
    if not row.lets_bound_in:
        refused = world.ask(row, role)
        assert (refused.status_code, code_of(refused)) == (403, "whole-node")
        return
    if not row.owned:
        assert world.ask(row, role).status_code in row.ok
        return
    own = world.ask(row, role, world.ours)
    assert own.status_code in row.ok, own.text
    unknown = world.ask(row, role, world.unknown) if row.hidden == 404 else None
    for things in (world.theirs, world.nobodys):
        hidden = world.ask(row, role, things)
        assert hidden.status_code == row.hidden, hidden.text
        if unknown is not None:
            assert told(hidden, things) == told(unknown, world.unknown)


@pytest.mark.parametrize("name", ROWS)
def test_the_local_operator_may_do_everything(world: World, name: str) -> None:
    answer = world.ask(ROWS[name], "local")
    assert answer.status_code not in (401, 403), answer.text


UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


def test_nothing_stored_can_be_deleted_or_altered_with_any_token(world: World) -> None:
    """Every method on every address of a package, with all that a token can be: its bytes stay what they were."""
    running = world.running
    package = world.ours["package"]
    with running.local() as local:
        before = local.get(f"/v1/packages/{package}").json()["versions"]
        content = local.get(f"/v1/content/{package}", params={"format": "tar"}).content
    all_of_them = running.client("deposit", "read", "operate", "approve", "audit")
    with all_of_them as client:
        for path in ("/v1/packages/", "/v1/content/", "/v1/receipts/"):
            for method in UNSAFE:
                for headers in ({}, {"If-None-Match": "*"}):
                    if (method, path) == ("PUT", "/v1/packages/") and not headers:
                        continue
                    answer = client.request(method, path + package, content=b"other", headers=headers)
                    assert answer.status_code in (405, 412), (method, path, answer.text)
        other = client.put(f"/v1/packages/{package}", content=b"other")
        assert (other.status_code, other.json()["code"]) == (409, "different-content")
        client.post("/v1/repairs", json={"identifier": package})
    eventually(lambda: not _open_tasks(running))
    with running.local() as local:
        after = local.get(f"/v1/packages/{package}").json()["versions"]
        assert local.get(f"/v1/content/{package}", params={"format": "tar"}).content == content
    pinned: Callable[[list[dict]], list] = lambda versions: [(v["version"], v["inventory_digest"]) for v in versions]  # noqa: E731
    assert pinned(after) == pinned(before)


def test_no_address_deletes_what_is_stored(running: Running) -> None:
    """The only thing that DELETE ends is what was never stored, a token, work that can be ordered again, or that a
    disk which was taken out is told of."""
    with running.client() as client:
        document = client.get("/openapi.json").json()
    deleting = {path for path, item in document["paths"].items() if "delete" in item}
    assert deleting <= {
        "/v1/disks/{key}",
        "/v1/tokens/{name}",
        "/v1/uploads/{upload_id}",
        "/v1/recalls/{recall_id}",
        "/v1/tapes/{barcode}/import",
    }


def _open_tasks(running: Running) -> list[dict]:
    with running.local() as local:
        return local.get("/v1/tasks").json()["items"]
