"""What goes into requests and what comes out of answers, for the clients that wait and for those that do not."""

from __future__ import annotations

import base64
import binascii
import contextlib
import enum
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar, cast
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from vault import wire
from vault.client.body import Body
from vault.client.problems import Explain, error_from_problem
from vault.errors import VaultError
from vault.i18n import _
from vault.model import Descriptive, IngestState, Json

_ModelT = TypeVar("_ModelT", bound=wire.Model)
Params = Mapping[str, str | list[str]]
_DIGEST: Final = re.compile(r"(sha-256|sha-512)=:([A-Za-z0-9+/=]+):")

LONG_POLL: Final = 30
"""Seconds that the node is asked to wait for a change of a deposit that is followed."""

ENDED: Final = frozenset({IngestState.RECEIPTED, IngestState.REFUSED, IngestState.FAILED})


class DepositStatus(enum.Enum):
    """CREATED: stored, with a receipt. KNOWN: the same content was there. PENDING: stored, the receipt comes later."""

    CREATED = "created"
    KNOWN = "known"
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Deposited:
    """What the node answered to a deposit. ``receipt`` is the signed document, None while there is none."""

    status: DepositStatus
    ingest_id: str
    receipt: Mapping[str, Json] | None


def upload_metadata(
    identifier: str,
    body: Body,
    kind: str,
    descriptive: Descriptive | None,
    follows: int | None,
    metadata: Mapping[str, str] | None,
) -> dict[str, str]:
    """What an upload says of its package."""
    return {
        **said_of(body, kind, descriptive, metadata),
        "identifier": identifier,
        "repr_digest": format_digests(body.digests) if body.digests else "",
        "if_match": "" if follows is None else f"v{follows}",
    }


def upload_path(response: httpx.Response) -> str:
    """Where the upload is that was just begun."""
    url = httpx.URL(response.headers.get("Location", "")).path
    if not url.startswith("/v1/uploads/"):
        raise not_understood(response)
    return url


def offset_in(response: httpx.Response) -> int:
    """How much the node has on stable storage."""
    said = response.headers.get("Upload-Offset", "")
    if not said.isdecimal():
        raise not_understood(response)
    return int(said)


def uploaded(seen: wire.Ingest, explain: Explain) -> Deposited:
    """What became of an upload that is not on its way any more. Raises what it was refused with."""
    if seen.state in (IngestState.REFUSED, IngestState.FAILED):
        status = 400 if seen.state is IngestState.REFUSED else 500
        said = {"type": "", "title": "", "detail": "", "code": "", "status": status, **(seen.problem or {})}
        raise error_from_problem(explain(wire.Problem.model_validate(said)))
    if seen.receipt is None:
        return Deposited(DepositStatus.PENDING, seen.id, None)
    known = seen.receipt.get("ingest") != seen.id
    return Deposited(DepositStatus.KNOWN if known else DepositStatus.CREATED, seen.id, seen.receipt)


def said_of(
    body: Body, kind: str, descriptive: Descriptive | None, metadata: Mapping[str, str] | None
) -> dict[str, str]:
    """What is said of a package, by the words of the API; empty where nothing is."""
    said = descriptive or Descriptive()
    return {
        **(metadata or {}),
        "kind": kind,
        "filename": body.filename,
        "fonds": said.fonds,
        "agency": said.agency,
        "batch": said.batch,
        "title": said.title,
        "retention": said.retention,
        "access": said.access,
        "agency_name": said.agency_name,
        "file_code": said.file_code,
        "date_from": said.date_from,
        "date_to": said.date_to,
        "class": "" if said.priority_class == Descriptive().priority_class else said.priority_class,
    }


def encoded(identifier: str) -> str:
    """An identifier as part of an address. Slashes stay; dots that stand alone between them are escaped, since they
    would be taken out on the way (RFC 3986, section 5.2.4)."""
    parts = quote(identifier, safe="/").split("/")
    return "/".join(part.replace(".", "%2E") if part in (".", "..") else part for part in parts)


def parse_digests(header: str) -> dict[str, str]:
    """The digests of ``Repr-Digest`` (RFC 9530) that can be compared here, hexadecimal, by name."""
    found: dict[str, str] = {}
    for name, value in _DIGEST.findall(header):
        with contextlib.suppress(binascii.Error):
            found[name] = base64.b64decode(value, validate=True).hex()
    return found


def format_digests(digests: Mapping[str, str]) -> str:
    """``Repr-Digest`` (RFC 9530) of digests in hexadecimal."""
    return ", ".join(f"{n}=:{base64.b64encode(bytes.fromhex(d)).decode()}:" for n, d in digests.items())


def present(params: Params) -> dict[str, str | list[str]]:
    """Leave out what is empty."""
    return {name: value for name, value in params.items() if value}


def version_text(number: int | None) -> str:
    """A version as a query has it; "" for the newest."""
    return "" if number is None else str(number)


def json_object(response: httpx.Response) -> dict[str, Json]:
    """An answer that is a JSON object."""
    try:
        found: object = json.loads(response.content)
    except (ValueError, RecursionError) as error:
        raise not_understood(response) from error
    if not isinstance(found, dict):
        raise not_understood(response)
    return cast("dict[str, Json]", found)


def parsed(response: httpx.Response, model: type[_ModelT]) -> _ModelT:
    """An answer as the model of it."""
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        raise not_understood(response) from error


def not_understood(response: httpx.Response) -> VaultError:
    """The error for an answer that is none of ours."""
    return VaultError(
        f"The answer to {response.request.method} {response.request.url.path} cannot be understood.",
        remedy=_("Is vaultctl of the same version as vaultd (vaultctl --version, vaultctl status)?"),
        code="bad-answer",
    )


def deposited(response: httpx.Response) -> Deposited:
    """What was answered to a deposit in one request."""
    document = json_object(response)
    nested = document.get("receipt")
    receipt = document if "signature" in document else nested if isinstance(nested, dict) else None
    location = response.headers.get("Location", "")
    ingest_id = str(document.get("ingest") or document.get("ingest_id") or document.get("id") or "")
    if not ingest_id and "/ingests/" in location:
        ingest_id = location.rpartition("/")[2]
    if not ingest_id:
        raise not_understood(response)
    if response.status_code == 200:
        status = DepositStatus.KNOWN
    else:
        status = DepositStatus.CREATED if receipt is not None else DepositStatus.PENDING
    return Deposited(status, ingest_id, receipt)
