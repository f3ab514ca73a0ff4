"""Credentials of the API. A secret is shown once and never stored: only its SHA-256 is.

The secrets are 256 random bits, so a plain hash is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from vault.catalog.engine import Tx
from vault.catalog.schema import IS_NOT_REVOKED, tokens
from vault.errors import Conflict, Fault, Invalid, NotFound
from vault.model import Scope, Token

PREFIX = "khoso_"
"""How every secret begins, so that one in a log or a repository can be recognised as such."""


def _token(row: sa.RowMapping) -> Token:
    return Token(
        id=row["id"],
        name=row["name"],
        scopes=frozenset(Scope(scope) for scope in row["scopes"]),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
    )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def create(tx: Tx, name: str, scopes: Iterable[Scope], expires_at: datetime | None) -> tuple[Token, str]:
    """Make a token and return it with its secret, which cannot be had again. Owes an event.

    Raises :class:`Conflict` when a token of that name is not revoked yet, :class:`Invalid` for an empty name or no
    scopes.
    """
    allowed = sorted(Scope(scope) for scope in scopes)
    if not name.strip() or not allowed:
        message = "a token needs a name and at least one scope"
        raise Invalid(f"No token was made: {message}.", faults=[Fault("bad-token", message)], code="bad-token")
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
        )
    )
    row = tx.connection.execute(sa.select(tokens).where(tokens.c.secret_hash == _hash(secret))).mappings().one()
    return _token(row), secret


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
    tx.connection.execute(tokens.update().where(tokens.c.id == row["id"]).values(revoked_at=tx.now))
    return _token(tx.connection.execute(sa.select(tokens).where(tokens.c.id == row["id"])).mappings().one())


def all(tx: Tx) -> list[Token]:  # noqa: A001 - read as tokens.all
    """Return every token that ever was, the oldest first."""
    return [_token(row) for row in tx.connection.execute(sa.select(tokens).order_by(tokens.c.id)).mappings()]
