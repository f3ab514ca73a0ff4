"""The JSON of batches (đợt giao nộp); see :mod:`vault.wire` for what holds for all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints

from vault.wire.base import JsonObject, Model, Moment

MOST_ITEMS: Final = 20_000
"""Packages on the list of one batch. Five thousand are ordinary."""

MOST_BYTES: Final = 2**53 - 1
"""Of one package, and of all on a list: what JSON's numbers hold exactly."""

_ALGORITHMS: Final = {"sha256": 64, "sha-256": 64, "sha512": 128, "sha-512": 128}


def _digests(value: object) -> object:
    """Algorithms by either of their names, digests in either case; a ValueError says what is wrong."""
    if not isinstance(value, dict):
        return value
    found = {}
    for name, digest in value.items():
        length = _ALGORITHMS.get(str(name).lower())
        if length is None:
            raise ValueError(f"{str(name)[:40]!r} is not an algorithm that is checked: sha256 or sha512")
        text = str(digest).lower()
        if len(text) != length or not set(text) <= set("0123456789abcdef"):
            raise ValueError(f"this is no {name} in hexadecimal, which has {length} digits")
        found[str(name).lower().replace("-", "")] = text
    return found


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Code = Annotated[str, StringConstraints(strip_whitespace=True, max_length=128, pattern=r"^[^\x00-\x1f\x7f]*$")]
"""A code as agencies give them to each other."""


class ListedPackage(Model):
    """A package as the depositor lists it. ``digests`` are of the package's bytes as they will be sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    identifier: str = Field(description="As it will be deposited.", examples=["H49.61.8/2025/0012"])
    digests: Annotated[Mapping[str, str], BeforeValidator(_digests)] = Field(
        default_factory=dict,
        description="sha256 or sha512, or both, in hexadecimal, of the body as it will be sent.",
        examples=[{"sha256": "0" * 64}],
    )
    files: int = Field(ge=0, le=MOST_BYTES, description="How many: a bag's payload, or all of its files.")
    bytes: int = Field(ge=0, le=MOST_BYTES, description="Of these files, or of the body.")


class BatchOrder(Model):
    """A delivery to be opened, with the depositor's own list."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    registration_code: Annotated[Code, Field(min_length=1)] = Field(
        description="Of the delivery.", examples=["SNV-2026-01"]
    )
    delivery_number: Annotated[Code, BeforeValidator(_number_as_text)] = Field(
        default="", description="Which delivery under this code it is; a number is taken as text.", examples=["1"]
    )
    agency: Code = Field(default="", description="Code of the agency that delivers.", examples=["H49.61"])
    agency_name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=500)] = Field(
        default="", description="Its name.", examples=["Sở Nội vụ"]
    )
    items: list[ListedPackage] = Field(min_length=1, max_length=MOST_ITEMS)


class BatchCounts(Model):
    """How many packages are how far."""

    listed: int
    entered: int = Field(description="Stored, listed or not.")
    receipted: int = Field(description="Of these, those that have their receipt.")
    not_ready: int = Field(description="On their way to a receipt. The batch cannot be closed while there are any.")
    missing: int = Field(description="Listed, and nothing of it is stored.")
    extra: int = Field(description="Stored, and not listed.")
    different: int = Field(description="Listed and stored, and not as listed.")


class Batch(Model):
    """A delivery, and how far it is. ``receipt`` is there once it is closed."""

    id: str
    state: Literal["open", "closed"]
    registration_code: str
    delivery_number: str
    agency: str
    agency_name: str
    agent: str = Field(description="Who opened it.")
    list_sha256: str = Field(description="Names the list that it was opened with.")
    packages: BatchCounts
    listed_files: int
    listed_bytes: int
    entered_files: int
    entered_bytes: int
    opened_at: Moment
    closed_at: Moment | None
    receipt: JsonObject | None = Field(description="The signed batch receipt.")


class BatchList(Model):
    """A page of batches, the newest first."""

    items: list[Batch]
    next_cursor: str | None


class BatchItem(Model):
    """A package of a batch."""

    identifier: str
    listed: bool = Field(description="Whether it is on the list.")
    state: Literal["missing", "entering", "stored", "receipted"]
    differences: list[Literal["digest", "files", "bytes"]] = Field(description="In what it is not as listed.")
    digests: Mapping[str, str] = Field(description="On the list.")
    files: int = Field(description="On the list; 0 where it is not.")
    bytes: int
    entered_files: int
    entered_bytes: int
    version: int | None = Field(description="That it was stored as.")
    content_digest: str = Field(description='algorithm:hexadecimal of that version; "" before.')
    ingest_id: str


class BatchItemList(Model):
    """A page of a batch's packages, in the order of their identifiers' code points."""

    items: list[BatchItem]
    next_cursor: str | None


class BatchClosing(Model):
    """How a batch is to be closed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accept_differences: bool = Field(
        default=False,
        description="Close it although packages are missing, extra or different. Needs the scope approve.",
    )
    reason: Annotated[str, StringConstraints(strip_whitespace=True, max_length=1000)] = Field(
        default="", description="Why that is accepted; it stands in the receipt."
    )
