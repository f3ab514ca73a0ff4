"""Tokens: made, listed and revoked by a local operator, or by whoever has the scope approve."""

from __future__ import annotations

from fastapi import APIRouter, Request

from vault import wire
from vault.api import views
from vault.api.auth import MayApprove
from vault.api.openapi import PROBLEM
from vault.api.parts import Node
from vault.catalog import tokens
from vault.clock import to_text
from vault.ledger import append
from vault.model import EventType, NewEvent, Outcome, TokenLimits
from vault.text import normalised

router = APIRouter(tags=["tokens"], responses=PROBLEM)


@router.post("/tokens", status_code=201, summary="Make a token")
def create_token(node: Node, who: MayApprove, order: wire.TokenOrder) -> wire.CreatedToken:
    """Make a token. Its secret is in this answer and nowhere else, ever."""
    with node.catalogue.write() as tx:
        made, secret = tokens.create(
            tx,
            order.name,
            order.scopes,
            order.expires_at,
            agency=normalised("NFC", order.agency),
            prefix=normalised("NFC", order.prefix),
            networks=order.networks,
            limits=TokenLimits(**order.limits.model_dump()),
        )
        append(
            tx,
            NewEvent(
                EventType.TOKEN_CREATED,
                Outcome.SUCCESS,
                who.agent,
                detail={
                    "name": made.name,
                    "scopes": [str(scope) for scope in sorted(made.scopes)],
                    "expires_at": to_text(made.expires_at) if made.expires_at else None,
                    "agency": made.agency,
                    "prefix": made.prefix,
                    "networks": list(made.networks),
                    "limits": order.limits.model_dump(exclude_none=True),
                },
            ),
        )
    return wire.CreatedToken(**views.token(made).model_dump(), token=secret)


@router.get("/tokens", summary="The tokens that are valid")
def list_tokens(node: Node, _who: MayApprove) -> wire.TokenList:
    """Every token that was not revoked, without its secret."""
    with node.catalogue.read() as tx:
        found = tokens.all(tx)
    return wire.TokenList(items=[views.token(token) for token in found if token.revoked_at is None])


@router.delete("/tokens/{name}", summary="Revoke a token")
def revoke_token(request: Request, node: Node, who: MayApprove, name: str) -> wire.Token:
    """From now on the token is not valid. What is under way with it is broken off."""
    with node.catalogue.write() as tx:
        gone = tokens.revoke(tx, name)
        append(tx, NewEvent(EventType.TOKEN_REVOKED, Outcome.SUCCESS, who.agent, detail={"name": gone.name}))
    request.app.state.under_way.end(gone.id)
    return views.token(gone)
