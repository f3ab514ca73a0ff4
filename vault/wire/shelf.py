"""The JSON of what stands on a volume beside what the catalogue says: scans and adoptions."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ConfigDict, Field

from vault.wire.base import Model, Moment, Problem


class ScanOrder(Model):
    """How to scan a volume."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    check: bool = Field(default=False, description="Read and compare every byte of foreign objects too.")


class Stranger(Model):
    """Something that is on one side only: on the volume, or in the catalogue."""

    kind: str = Field(
        description="foreign-object, unknown-object, different-object, broken-object, missing-object, retired-copy,"
        " stray or leftover.",
        examples=["foreign-object"],
    )
    path: str = Field(description="Below the volume's root.")
    object_id: str = Field(description='OCFL\'s id of the object; "" where there is none.')
    identifier: str = Field(description='The package; of a foreign object "" unless it was adopted.')
    versions: list[int]
    sound: bool | None = Field(description="The verdict of the OCFL validation; null where content was not read.")
    faults: list[str] = Field(description="What is wrong with it, the first of them.")
    message: str


class Scan(Model):
    """A comparison of a volume with the catalogue, and how far it is."""

    volume: str
    check: bool
    agent: str
    state: str = Field(description="running, done, failed or interrupted.", examples=["done"])
    began_at: Moment
    ended_at: Moment | None
    objects: int = Field(description="Objects that were found on the volume.")
    copies: int = Field(description="Copies of the catalogue that were looked for.")
    read: int = Field(description="Bytes of foreign objects that were read.")
    ordered: int = Field(description="Packages that are verified now, as something of them was missing.")
    counts: Mapping[str, int] = Field(description="Finds by kind; zeros are absent.")
    strangers: list[Stranger] = Field(description="The finds, the first thousand.")
    problem: str = Field(description='Why it failed; "" otherwise.')


class AdoptionOrder(Model):
    """Which object on the volume is to become a package."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1, max_length=4096, description="Its folder, below the volume's root.")
    identifier: str = Field(default="", description="What the package shall be called; the object's own id by default.")
    describe: Mapping[str, str] = Field(
        default_factory=dict, description="What is said of it, as with a deposit: fonds, agency, title, class, …"
    )


class Adoption(Model):
    """An ordered adoption, and how far it is."""

    id: str
    volume: str
    path: str
    agent: str
    state: str = Field(description="running, done or failed.", examples=["done"])
    began_at: Moment
    ended_at: Moment | None
    read: int = Field(description="Bytes that were read.")
    identifier: str = Field(description='The package that it became; "" before.')
    object_id: str
    in_place: bool = Field(description="It was entered as it stands, and nothing was copied.")
    versions: Mapping[str, str] = Field(description="Which of the object's versions is which of the package's.")
    problem: Problem | None = Field(description="Why it failed.")
