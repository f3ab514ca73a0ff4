"""Listings as a repository uses them: narrowed, paged, and each package's state in one call."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from tests.e2e.api.test_deposits import assert_problem, put
from tests.support.serving import eventually


@pytest.fixture(scope="module")
def prefix() -> str:
    return f"danh sách/{uuid.uuid4()}/"


@pytest.fixture(autouse=True, scope="module")
def stored(running, prefix) -> None:
    with running.client("deposit", "read") as client:
        for n in range(5):
            said = {
                "fonds": "UBND" if n % 2 else "Sở",
                "class": "đất",
                "file_code": f"{prefix}{n}",
                "access": "Hạn chế",
            }
            assert put(client, f"{prefix}{n}", f"{n}".encode(), **said).status_code == 201


def names(client: httpx.Client, **query) -> list[str]:
    answer = client.get("/v1/packages", params=query)
    assert answer.status_code == 200, answer.text
    return [item["identifier"].rpartition("/")[2] for item in answer.json()["items"]]


def test_accepted_sets_complete_last_proved_in_one_call(depositor: httpx.Client, prefix: str) -> None:
    (item,) = depositor.get("/v1/packages", params={"file_code": f"{prefix}3"}).json()["items"]
    assert item["policy_holds"] is True
    assert item["sets"] == {"complete": 2, "wanted": 2, "domains": ["nas-a", "nas-b"]}
    receipt = depositor.get(item["receipt"]).json()
    assert item["accepted_at"] == receipt["issued_at"]
    package = depositor.get(f"/v1/packages/{item['identifier']}").json()
    assert item["last_proved_at"] == max(copy["proved_at"] for copy in package["versions"][0]["copies"])
    for member in ("policy_holds", "sets", "accepted_at", "receipt", "last_proved_at", "descriptive"):
        assert package[member] == item[member], member
    assert package["descriptive"]["file_code"] == f"{prefix}3"


def test_what_is_stored_and_not_yet_accepted_says_so(running, depositor: httpx.Client, prefix: str) -> None:
    (running.root / "nas-b").rename(running.root / "away")
    try:
        # It may be meant for the volume that is away, until that is noticed.
        eventually(lambda: put(depositor, f"{prefix}waiting", b"x", {"Prefer": "wait=0"}).status_code == 202)
        package = depositor.get(f"/v1/packages/{prefix}waiting").json()
        assert (package["accepted_at"], package["receipt"], package["policy_holds"]) == (None, None, False)
        assert package["sets"]["complete"] < package["sets"]["wanted"] == 2
        assert "waiting" in names(depositor, below_policy="true", prefix=prefix)
    finally:
        (running.root / "away").rename(running.root / "nas-b")
    eventually(lambda: depositor.get(f"/v1/packages/{prefix}waiting").json()["policy_holds"])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"fonds": "UBND"}, "13"),
        ({"fonds": "So\u031b\u0309"}, "024"),
        ({"class": "đất"}, "01234"),
        ({"access": "Hạn chế", "fonds": "UBND"}, "13"),
        ({"access": "none"}, ""),
        ({"retention": "x"}, ""),
        ({"created_since": "2020-01-01T00:00:00Z", "fonds": "UBND"}, "13"),
        ({"created_since": "2999-01-01T00:00:00+07:00"}, ""),
        ({"proved_before": "2999-01-01T00:00:00Z", "class": "đất"}, "01234"),
        ({"proved_before": "2020-01-01T00:00:00Z"}, ""),
        ({"below_policy": "false", "fonds": "UBND"}, "13"),
    ],
)
def test_a_listing_is_narrowed(depositor: httpx.Client, prefix: str, query: dict[str, str], found: str) -> None:
    assert "".join(sorted(names(depositor, prefix=prefix, **query))) == found


@pytest.mark.parametrize(
    "extra", [{}, {"created_since": "2020-01-01T00:00:00Z"}, {"proved_before": "2999-01-01T00:00:00Z"}]
)
def test_pages_follow_one_another_while_deposits_go_on(
    depositor: httpx.Client, prefix: str, extra: dict[str, str]
) -> None:
    seen: list[str] = []
    query = {"prefix": prefix, "limit": "2", **extra}
    cursor = None
    for round_ in range(20):
        page = depositor.get("/v1/packages", params={**query, **({"cursor": cursor} if cursor else {})}).json()
        seen += [item["identifier"].rpartition("/")[2] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        name = f"{prefix}00-{len(extra)}{'-'.join(extra)}-{round_}"
        assert put(depositor, name, name.encode()).status_code == 201
    assert cursor is None
    assert len(seen) == len(set(seen))
    assert set("01234") <= set(seen)


def test_what_did_not_change_is_not_sent_again(depositor: httpx.Client, prefix: str) -> None:
    for url in (f"/v1/packages/{prefix}1", f"/v1/packages?file_code={prefix}1"):
        first = depositor.get(url)
        tag = first.headers["ETag"]
        again = depositor.get(url, headers={"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
        assert depositor.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    tag = depositor.get(f"/v1/packages/{prefix}1").headers["ETag"]
    document = assert_problem(put(depositor, f"{prefix}1", b"x", {"If-Match": tag}), 400, "bad-if-match")
    assert "v3" in document["remedy"], "the tag of an answer is not that of a version"
    before = depositor.get(f"/v1/packages/{prefix}1").headers["ETag"]
    assert put(depositor, f"{prefix}1", b"second", {"If-Match": '"v1"'}).status_code == 201
    assert depositor.get(f"/v1/packages/{prefix}1").headers["ETag"] != before


def test_a_cursor_of_another_listing_is_refused(depositor: httpx.Client, prefix: str) -> None:
    cursor = depositor.get("/v1/packages", params={"prefix": prefix, "limit": "1"}).json()["next_cursor"]
    assert depositor.get("/v1/packages", params={"prefix": prefix, "cursor": cursor}).status_code == 200
    for query in ({}, {"prefix": prefix, "fonds": "x"}, {"prefix": prefix, "created_since": "2020-01-01T00:00:00Z"}):
        assert_problem(depositor.get("/v1/packages", params={**query, "cursor": cursor}), 400, "bad-cursor")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"cursor": "!"}, "bad-cursor"),
        ({"cursor": "W10"}, "bad-cursor"),
        ({"cursor": "eyJhIjoxfQ"}, "bad-cursor"),
        ({"limit": "0"}, "bad-query"),
        ({"limit": "1001"}, "bad-query"),
        ({"created_since": "yesterday"}, "bad-query"),
        ({"created_since": "2020-01-01T00:00:00"}, "bad-query"),
        ({"proved_before": "0001-01-01T00:00:00+14:00"}, "bad-query"),
        ({"below_policy": "perhaps"}, "bad-query"),
        ({"batch": "a\0b"}, "bad-text"),
    ],
)
def test_each_condition_that_cannot_be_read(depositor: httpx.Client, query: dict[str, str], code: str) -> None:
    answer = depositor.get("/v1/packages", params=query)
    if code == "bad-text" and answer.status_code == 200:
        assert answer.json()["items"] == []
    else:
        assert_problem(answer, 400, code)


def test_times_in_a_listing_are_later_than_the_test(depositor: httpx.Client, prefix: str) -> None:
    (item,) = depositor.get("/v1/packages", params={"file_code": f"{prefix}2"}).json()["items"]
    proved = datetime.fromisoformat(item["last_proved_at"])
    assert datetime.now(UTC) - proved < timedelta(hours=1)
    later = (proved + timedelta(microseconds=1)).isoformat()
    assert names(depositor, prefix=f"{prefix}2", proved_before=later) == ["2"]
    assert names(depositor, prefix=f"{prefix}2", proved_before=proved.isoformat()) == []


def test_a_state_secret_is_refused_with_what_to_do_and_shown_to_the_sysadmin(
    running, depositor: httpx.Client, prefix: str
) -> None:
    document = assert_problem(put(depositor, f"{prefix}secret", b"x", access="Tối mật"), 422, "state-secret")
    assert document["faults"][0]["path"] == "access"
    assert "state-secrets" in document["remedy"]
    assert_problem(depositor.get(f"/v1/packages/{prefix}secret"), 404, "no-such-package")
    with running.local() as operator:
        codes = [alert["code"] for alert in operator.get("/v1/status").json()["alerts"]]
    assert "state-secret-refused" in codes
