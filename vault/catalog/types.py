"""How the program's values are written in columns: as text that a person can read and that sorts as it should."""

from __future__ import annotations

import enum
import json
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from vault.clock import from_text, to_text
from vault.errors import Fault, Invalid
from vault.model import Json

_E = TypeVar("_E", bound=enum.StrEnum)


def big_key() -> TypeEngine[int]:
    """A 64-bit key; in SQLite only a column of exactly this type becomes the row's own number."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


class BadText(Invalid, sa.exc.DontWrapMixin):
    """Invalid as it stands, which SQLAlchemy does not wrap into an error of its own."""


class KeyText(TypeDecorator[str]):
    """Text that names something. What a database cannot hold (NUL, unpaired surrogates) is refused as Invalid."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """See SQLAlchemy."""
        return sa.Text(collation="C" if dialect.name == "postgresql" else None)

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """See SQLAlchemy."""
        if value is not None and readable(value) != value:
            message = f"This text cannot be stored: {value!a}"
            raise BadText(
                message,
                faults=[Fault("bad-text", message)],
                remedy="Send well-formed UTF-8 without NUL characters.",
                code="bad-text",
            )
        return value


class ProseText(TypeDecorator[str]):
    """Text for people. What a database cannot hold is written as an escape: a message must never stop a change."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """See SQLAlchemy."""
        return None if value is None else readable(value)


def readable(text: str) -> str:
    """Return ``text`` with NUL characters and unpaired surrogates written as backslash escapes."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


class TimeText(TypeDecorator[datetime]):
    """A time as ``2026-11-22T10:40:42.123456Z``."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """See SQLAlchemy."""
        return sa.Text(collation="C" if dialect.name == "postgresql" else None)

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> str | None:
        """See SQLAlchemy."""
        return None if value is None else to_text(value)

    def process_result_value(self, value: str | None, _dialect: Dialect) -> datetime | None:
        """See SQLAlchemy."""
        return None if value is None else from_text(value)


class JsonText(TypeDecorator[Json]):
    """JSON as text, letters as they are. SQL's NULL and Python's None are one; JSON's null is not used alone."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Json, _dialect: Dialect) -> str | None:
        """See SQLAlchemy."""
        if value is None:
            return None
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        # An unpaired surrogate can only be written as JSON's own escape.
        return text if text.isascii() or readable(text) == text else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Json:
        """See SQLAlchemy."""
        if value is None:
            return None
        loaded: Json = json.loads(value)
        return loaded


class EnumText(TypeDecorator[_E], Generic[_E]):
    """A member of an enumeration by its value."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, members: type[_E]) -> None:
        super().__init__()
        self.members = members

    def process_bind_param(self, value: _E | None, _dialect: Dialect) -> str | None:
        """See SQLAlchemy."""
        return None if value is None else self.members(value).value

    def process_result_value(self, value: str | None, _dialect: Dialect) -> _E | None:
        """See SQLAlchemy."""
        return None if value is None else self.members(value)


class UuidText(TypeDecorator[UUID]):
    """A UUID in its usual form with hyphens."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: UUID | None, _dialect: Dialect) -> str | None:
        """See SQLAlchemy."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, _dialect: Dialect) -> UUID | None:
        """See SQLAlchemy."""
        return None if value is None else UUID(value)


class Flag(TypeDecorator[bool]):
    """True or false as 1 or 0, so that one predicate serves both databases' partial indexes."""

    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value: bool | None, _dialect: Dialect) -> int | None:
        """See SQLAlchemy."""
        return None if value is None else int(value)

    def process_result_value(self, value: int | None, _dialect: Dialect) -> bool | None:
        """See SQLAlchemy."""
        return None if value is None else bool(value)
