"""What a depositor asks for, whichever way the bytes come, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Literal

from vault.depositing import Upload
from vault.intake.unpack import Kind
from vault.model import Descriptive, Json


@dataclass(frozen=True)
class DepositRequest:
    """What a depositor asks for. ``digests`` are those declared for the body: "sha-256" -> hexadecimal.

    ``if_match`` is the number of the version that the deposit follows, "*" for whichever it is, None where the
    package must be new; ``must_be_new`` refuses even the same content under a known identifier. ``bound``: they
    may only touch packages of the agency that ``descriptive`` names, and learn nothing of others. ``callback`` is
    whom to tell how it ended, "" for nobody. ``volume`` is where the first copy of a
    first version is to go, "" for where the policy has it.
    """

    identifier: str
    ingest_id: str
    agent: str
    kind: Kind = "auto"
    filename: str = ""
    content_length: int | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    if_match: int | Literal["*"] | None = None
    must_be_new: bool = False
    descriptive: Descriptive = field(default_factory=Descriptive)
    metadata: Mapping[str, Json] = field(default_factory=dict)
    bound: bool = False
    callback: str = ""
    volume: str = ""


@dataclass(frozen=True)
class Accepted:
    """What became of it. ``created``: a version was made; else the same content was here already."""

    ingest_id: str
    identifier: str
    version: int
    created: bool
    receipt: Mapping[str, Json] | None


def request_as_json(request: DepositRequest) -> dict[str, Json]:
    """For the upload's row."""
    return asdict(request)


def request_of(upload: Upload) -> DepositRequest:
    """What is to be done with the bytes of an upload."""
    known = {field.name for field in fields(DepositRequest)}
    said = {key: value for key, value in upload.request.items() if key in known}
    described = said.pop("descriptive", None)
    names = {field.name for field in fields(Descriptive)}
    pairs = described.items() if isinstance(described, Mapping) else ()
    request = DepositRequest(**said)  # type: ignore[arg-type]  # what request_as_json wrote
    descriptive = Descriptive(**{key: value for key, value in pairs if key in names})  # type: ignore[arg-type]
    return replace(request, ingest_id=upload.id, content_length=upload.length, descriptive=descriptive)
