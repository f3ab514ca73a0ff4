"""Credentials of the API. A secret is shown once and never stored: only its SHA-256 is.

The secrets are 256 random bits, so a plain hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Final

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.schema import IS_NOT_REVOKED, token_usage, tokens
from vault.errors import Conflict, Fault, Invalid, NotFound
from vault.model import Scope, Token, TokenLimits

PREFIX = "khoso_"
"""How every secret begins, so that one in a log or a repository can be recognised as such."""


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """What was used of a day's quota."""

    bytes: int
    packages: int


NO_LIMITS: Final = TokenLimits()

BINDABLE: Final = frozenset({Scope.DEPOSIT, Scope.READ})
"""What a token that is bound to an agency may have: everything else tells of the whole node, or changes it."""


def _token(row: sa.RowMapping) -> Token:
    return Token(
        id=row["id"],
        name=row["name"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        agency=row["agency"],
        prefix=row["prefix"],
        networks=tuple(row["networks"]),
        limits=TokenLimits(**row["limits"]),
        last_used_at=row["last_used_at"],
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def create(
    tx: Tx,
    name: str,
    scopes: Iterable[Scope],
    expires_at: datetime | None,
    *,
    agency: str = "",
    prefix: str = "",
    networks: Iterable[str] = (),
    limits: TokenLimits = NO_LIMITS,
) -> tuple[Token, str]:
    """Make a token and return it with its secret, which cannot be had again. Owes an event.

    Raises :class:`Conflict` when a token of that name is not revoked yet, :class:`Invalid` (``bad-token``) for an
    empty name, no scopes, networks that are none, and an agency's token that could see or change the whole node.
    """
    allowed = sorted(Scope(scope) for scope in scopes)
    if not name.strip() or not allowed:
        raise _bad("a token needs a name and at least one scope")
    if agency and not set(allowed) <= BINDABLE:
        raise _bad("what is bound to an agency can have the scopes deposit and read, and no others", "scopes")
    places = [_network(text) for text in networks]
    if tx.connection.execute(sa.select(tokens.c.id).where(tokens.c.name == name, IS_NOT_REVOKED)).first() is not None:
        raise Conflict(
            f"There is already a token {name}.", remedy="Revoke it first, or choose another name.", code="token-exists"
        )
    tx.owe()
    secret = PREFIX + secrets.token_urlsafe(32)
    tx.connection.execute(
        tokens.insert().values(
            name=name,
            scopes=[scope.value for scope in allowed],
            secret_hash=_hash(secret),
            created_at=tx.now,
            expires_at=expires_at,
            agency=agency,
            prefix=prefix,
            networks=places,
            limits={name: value for name, value in dataclasses.asdict(limits).items() if value is not None},
        )
    )
    row = tx.connection.execute(sa.select(tokens).where(tokens.c.secret_hash == _hash(secret))).mappings().one()
    return _token(row), secret


def _bad(message: str, path: str = "") -> Invalid:
    return Invalid(f"No token was made: {message}.", faults=[Fault("bad-token", message, path)], code="bad-token")


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise _bad(f"{text[:60]!r} is no network ({error}); write one such as 10.1.2.0/24", "networks") from None


def find(tx: Tx, secret: str) -> Token | None:
    """Return the token of that secret, None when there is none, or it has expired or was revoked."""
    wanted = _hash(secret)
    row = tx.connection.execute(sa.select(tokens).where(tokens.c.secret_hash == wanted)).mappings().first()
    if row is None or not hmac.compare_digest(row["secret_hash"], wanted):
        return None
    token = _token(row)
    expired = token.expires_at is not None and token.expires_at <= tx.now
    return None if expired or token.revoked_at is not None else token


def revoke(tx: Tx, name: str) -> Token:
    """End the token of that name at once and return it. Owes an event. Raises :class:`NotFound`."""
    row = tx.connection.execute(sa.select(tokens).where(tokens.c.name == name, IS_NOT_REVOKED)).mappings().first()
    if row is None:
        raise NotFound(f"There is no token {name}.", remedy="List them with: vaultctl token list", code="no-such-token")
    tx.owe()
    tx.credentials_changed = True
    tx.connection.execute(tokens.update().where(tokens.c.id == row["id"]).values(revoked_at=tx.now))
    return _token(tx.connection.execute(sa.select(tokens).where(tokens.c.id == row["id"])).mappings().one())


def all(tx: Tx) -> list[Token]:  # noqa: A001 - read as tokens.all
    """Return every token that ever was, the oldest first."""
    return [_token(row) for row in tx.connection.execute(sa.select(tokens).order_by(tokens.c.id)).mappings()]


def next_expiry(tx: Tx, used_within: timedelta, ended_within: timedelta) -> datetime | None:
    """Return when the first of those tokens ends that were used lately; None when none of them ever does. One that
    ended by itself counts for a while: whoever used it may be wondering."""
    query = sa.select(sa.func.min(tokens.c.expires_at)).where(
        IS_NOT_REVOKED, tokens.c.expires_at >= tx.now - ended_within, tokens.c.last_used_at >= tx.now - used_within
    )
    found: datetime | None = tx.connection.execute(query).scalar_one()
    return found


def touch(tx: Tx, token_id: int) -> None:
    """Note that the token was used in this hour. Owes no event."""
    hour = tx.now.replace(minute=0, second=0, microsecond=0)
    tx.connection.execute(tokens.update().where(tokens.c.id == token_id).values(last_used_at=hour))


def usage(tx: Tx, token_id: int, day: date) -> Usage:
    """Return what a token has used of its quota of that day (in UTC)."""
    columns = token_usage.c
    query = sa.select(columns.bytes, columns.packages).where(columns.token_id == token_id, columns.day == str(day))
    row = tx.connection.execute(query).mappings().first()
    return Usage(0, 0) if row is None else Usage(row["bytes"], row["packages"])


def add_usage(tx: Tx, token_id: int, day: date, used: Usage) -> None:
    """Add to what a token has used of its quota of that day. Owes no event."""
    columns = token_usage.c
    changed = tx.connection.execute(
        token_usage.update()
        .where(columns.token_id == token_id, columns.day == str(day))
        .values(bytes=columns.bytes + used.bytes, packages=columns.packages + used.packages)
    )
    if changed.rowcount == 0:
        values = {"token_id": token_id, "day": str(day), "bytes": used.bytes, "packages": used.packages}
        tx.connection.execute(token_usage.insert().values(**values))
