"""Who asks, and what they may do.

Over the Unix socket the kernel says who it is: a local operator, who may do everything; who may open the socket is
decided by its mode and group. Everybody else shows a token.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import structlog
from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from vault.api.peer import groups_of, login_of
from vault.api.problems import PROBLEMS
from vault.errors import Forbidden
from vault.model import Scope, Token

log = structlog.get_logger(__name__)

PRINCIPAL: Final = "khoso.principal"
"""Where the scope of a request carries who asks."""

_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*) *")
ALL_SCOPES: Final = frozenset(Scope)

# Only for the OpenAPI document: the check itself is in `identify`, before anything of a request is read.
_documented = HTTPBearer(auto_error=False, description="A token made with `vaultctl token create`.")


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: ``user:LOGIN`` over the Unix socket, ``token:NAME`` elsewhere, and what they may do."""

    agent: str
    scopes: frozenset[Scope]
    token: Token | None = None

    @property
    def agency(self) -> str:
        """The agency that they are bound to; "" for all. See :mod:`vault.api.ownership`."""
        return "" if self.token is None else self.token.agency


def local_operator(uid: int, operators: Sequence[str] = ()) -> Principal:
    """Who came over the Unix socket. ``operators`` are the logins and %groups who may; where it names nobody, all who
    can open the socket. root and the daemon's own user may in any case. Raises Forbidden (``not-an-operator``)."""
    login = login_of(uid)
    if operators and uid not in (0, os.geteuid()) and login not in operators:
        groups = {f"%{name}" for name in groups_of(uid)}
        if groups.isdisjoint(operators):
            raise Forbidden(
                f"The user {login} may not use this node's socket.",
                remedy="Be added to [api] operators, or to one of the groups that it names; or use a token.",
                code="not-an-operator",
            )
    return Principal(f"user:{login}", ALL_SCOPES)


def secret_of(authorization: list[str]) -> str | None:
    """The secret in these ``Authorization`` headers; None where there is no one bearer token.

    Raises Forbidden (``no-credentials``) where there is no header.
    """
    if not authorization:
        raise Forbidden(
            "This address needs a token.",
            remedy="Send Authorization: Bearer TOKEN. To make one: vaultctl token create NAME --scope …",
            code="no-credentials",
        )
    found = _BEARER.fullmatch(authorization[0]) if len(authorization) == 1 else None
    return found[1] if found is not None else None


def admit(token: Token | None, address: str) -> Principal:
    """Return who shows this token from this IP address.

    Raises Forbidden (``bad-credentials``) for a token that is unknown, revoked or expired (None), or not good from
    there. A thief is not told which it is; the log is.
    """
    if token is None:
        raise not_valid()
    if not is_within(address, token.networks):
        log.warning("token-from-elsewhere", who=f"token:{token.name}", address=address, allowed=token.networks)
        raise not_valid()
    return Principal(f"token:{token.name}", token.scopes, token)


def not_valid() -> Forbidden:
    """The one answer to every token that is not good, whatever the reason."""
    return Forbidden(
        "The token is not valid: it is unknown, was revoked, has expired, or is not good from this address.",
        remedy="Look at vaultctl token list, and make a new one if need be.",
        code="bad-credentials",
    )


def is_within(address: str, networks: Sequence[str]) -> bool:
    """Whether an IP address lies in any of the networks (CIDR); no networks are everywhere."""
    if not networks:
        return True
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in ipaddress.ip_network(network) for network in networks)


def principal_of(request: Request) -> Principal:
    """Who asks."""
    principal = request.scope[PRINCIPAL]
    assert isinstance(principal, Principal), "the gate set it"  # noqa: S101
    return principal


@dataclass(frozen=True, slots=True)
class Needs:
    """A dependency that lets in whoever has any of these scopes. It raises Forbidden (``wrong-scope``).

    ``bound``: also those who are bound to an agency. Only for addresses that ask :mod:`vault.api.ownership` what may
    be seen and touched; everything else tells of the whole node, and is closed to them (``whole-node``).
    """

    any_of: frozenset[Scope]
    bound: bool

    # Not blocking, and so no plain function: those go to a thread each time.
    async def __call__(
        self,
        request: Request,
        _documented_only: Annotated[HTTPAuthorizationCredentials | None, Security(_documented)] = None,
    ) -> Principal:
        """Return who asks."""
        principal = principal_of(request)
        if not principal.scopes & self.any_of:
            wanted = " or ".join(scope.value for scope in sorted(self.any_of))
            raise Forbidden(
                f"This needs the scope {wanted}, which {principal.agent} does not have.",
                remedy="Use another token, or make one with that scope.",
                code="wrong-scope",
            )
        if not self.bound:
            refuse_bound(principal)
        return principal


def needs(*any_of: Scope, bound: bool = False) -> Needs:
    """See :class:`Needs`."""
    return Needs(frozenset(any_of), bound)


def refuse_bound(who: Principal) -> None:
    """Raise Forbidden (``whole-node``) for who is bound to an agency."""
    if who.agency:
        raise Forbidden(
            f"This is about the whole node, and {who.agent} is bound to an agency.",
            remedy="Use a token that is bound to none.",
            code="whole-node",
        )


def needs_scope(who: Principal, scope: Scope) -> None:
    """Raise Forbidden (``wrong-scope``) for who has it not: for what only a part of an address needs."""
    if scope not in who.scopes:
        raise Forbidden(
            f"This needs the scope {scope.value}, which {who.agent} does not have.",
            remedy="Use another token, or make one with that scope.",
            code="wrong-scope",
        )


MayDeposit = Annotated[Principal, Depends(needs(Scope.DEPOSIT, bound=True))]
MayFollow = Annotated[Principal, Depends(needs(Scope.DEPOSIT, Scope.READ, Scope.OPERATE, Scope.AUDIT, bound=True))]
"""For what a depositor needs to see of a deposit."""
MayRead = Annotated[Principal, Depends(needs(Scope.READ, bound=True))]
MayList = Annotated[Principal, Depends(needs(Scope.READ, Scope.OPERATE, Scope.AUDIT, bound=True))]
"""For listings that show to each only what they may see."""
MayLook = Annotated[Principal, Depends(needs(Scope.READ, Scope.OPERATE, Scope.AUDIT))]
"""For what is about the whole node."""
MayAudit = Annotated[Principal, Depends(needs(Scope.AUDIT, Scope.OPERATE))]
MayOperate = Annotated[Principal, Depends(needs(Scope.OPERATE))]
MayApprove = Annotated[Principal, Depends(needs(Scope.APPROVE))]

assert PROBLEMS["no-credentials"].status == PROBLEMS["bad-credentials"].status == 401  # noqa: S101 - or nobody is asked
