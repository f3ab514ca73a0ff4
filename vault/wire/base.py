"""What all of the API's JSON has in common, and what it says when something goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    PlainSerializer,
    WithJsonSchema,
)

from vault.clock import to_text

_TIME_SCHEMA = {"type": "string", "format": "date-time", "examples": ["2026-11-22T10:40:42.123456Z"]}
Moment = Annotated[AwareDatetime, PlainSerializer(to_text, when_used="json"), WithJsonSchema(_TIME_SCHEMA)]
"""A time, always written with microseconds and ``Z``."""


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("this is no time in UTC: it lies before the year 1 or after 9999") from None


SaidMoment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""A time as a client says it, in whatever zone; what is made of it is in UTC."""

JsonObject = Mapping[str, JsonValue]
"""JSON whose members are not ours to name: receipts (which are signed as they are), details of events."""

MOST = 2**53 - 1
"""No count or number of bytes is larger: JSON's numbers hold it exactly, and so does the ledger."""

MOST_VERSIONS = 10**9 - 1
"""No package has more versions."""


class Model(BaseModel):
    """What all have in common: they do not change, and ignore members that a newer daemon may send."""

    model_config = ConfigDict(frozen=True, extra="ignore", from_attributes=True, serialize_by_alias=True)


class Fault(Model):
    """One thing that is wrong with what was sent."""

    code: str = Field(description="Stable, kebab-case.", examples=["bad-digest"])
    message: str = Field(description="A sentence for people.")
    path: str = Field(default="", description='The member or key concerned; "" where the whole is meant.')


class Problem(Model):
    """A problem document (RFC 9457, ``application/problem+json``). Programs look at ``code`` or ``type``."""

    type: str = Field(examples=["urn:khoso:problem:not-found"])
    title: str = Field(examples=["There is no such thing"])
    status: int = Field(examples=[404])
    detail: str = Field(description="What is wrong.", examples=["There is no package H49/2025/0012."])
    code: str = Field(description="Stable, kebab-case.", examples=["no-such-package"])
    remedy: str = Field(default="", description="What to do about it.")
    faults: list[Fault] = Field(default_factory=list, description="Everything that was wrong, not only the first.")
    instance: str = Field(default="", description="Identifies this request; it stands in the log of the daemon too.")
