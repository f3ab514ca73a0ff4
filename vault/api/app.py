"""The application: routes, the gate before them, and problem documents for all that goes wrong."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import Response

import vault
from vault.api import (
    batches,
    catalogue,
    content,
    credentials,
    deposits,
    devices,
    following,
    operations,
    outside,
    recalls,
    shelf,
    status,
    tapes,
    uploads,
)
from vault.api.contract import make_document
from vault.api.gate import Gate
from vault.api.inventories import InventoryCache
from vault.api.kept_answers import KeptAnswers
from vault.api.limits import Limits
from vault.api.parts import NodeParts
from vault.api.places import Places
from vault.api.problems import bad_request, problem_response
from vault.api.under_way import UnderWay
from vault.api.visit import INSTANCE
from vault.config import Settings
from vault.errors import Fault, Invalid, NotFound, Refused, VaultError

PREFIX: Final = "/v1"

UPLOADS_WAIT: Final = timedelta(seconds=45)
"""So long a request of a resumable upload waits for a place at most: its client takes a link that is silent for longer
for dead, and comes back by itself."""

_DESCRIPTION: Final = """A storage node of a digital archive: packages go in, receipts come out, copies are kept good.

Identifiers stand in addresses percent-encoded once, as UTF-8; slashes may stand as they are. Requests carry
`Authorization: Bearer TOKEN`; over the node's Unix socket a local operator needs none.

Whatever goes wrong answers with a problem document (RFC 9457) with a stable `code`, a sentence that says what is wrong
and a `remedy`. Times are UTC, sizes are bytes. Members may be added to answers, never renamed or taken away."""


def create_app(node: NodeParts) -> FastAPI:
    """Build the application for one node. It holds nothing that a restart would lose."""
    limits = Limits(node.catalogue, node.clock)
    # No token alone can keep all others from the door by requests that do not end.
    under_way = UnderWay(node.clock, node.settings.api.max_connections // 2)
    intake = node.settings.intake
    app = FastAPI(
        title="khoso",
        version=vault.__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        middleware=[
            Middleware(
                Gate,
                catalogue=node.catalogue,
                api=node.settings.api,
                limits=limits,
                under_way=under_way,
                places=_places(node.settings),
            )
        ],
    )
    app.state.parts = node
    app.state.limits = limits
    app.state.under_way = under_way
    app.state.places = Places(intake.max_concurrent, intake.max_concurrent_per_token, intake.queue_timeout)
    patience = min(intake.queue_timeout, UPLOADS_WAIT)
    app.state.upload_places = Places(intake.max_concurrent, intake.max_concurrent_per_token, patience)
    app.state.followers = following.Followers(node.settings.api.max_followers)
    app.state.inventories = InventoryCache()
    app.state.kept_answers = KeptAnswers(node)
    app.state.list_places = Places(batches.MOST_LISTS, batches.MOST_LISTS_OF_ONE)
    app.state.list_readers = asyncio.Semaphore(batches.MOST_READ)
    v1 = APIRouter(prefix=PREFIX)
    content_modules = (deposits, uploads, following, batches, catalogue, content, recalls)
    modules = (*content_modules, operations, shelf, devices, tapes, status, credentials)
    for module in modules:
        v1.include_router(module.router)
    app.include_router(v1)
    app.include_router(outside.router)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.openapi = lambda: _openapi(app, [*(module.router for module in modules), outside.router])  # type: ignore[method-assign]  # as FastAPI's manual has it
    return app


def _places(settings: Settings) -> dict[str, str]:
    """Folders of this machine, and what they are called to those who are not at it."""
    named = {str(volume.path): f"volume {volume.name}" for volume in settings.volumes}
    return {**named, str(settings.node.state): "the state folder"}


async def _on_http(request: Request, error: Exception) -> Response:
    """Routing's own errors. Everything else that this program raises goes through the gate."""
    assert isinstance(error, HTTPException)  # noqa: S101 - it was registered for these
    if isinstance(error.__cause__, VaultError):
        # FastAPI makes one of its own of whatever is raised while it reads a body.
        return problem_response(error.__cause__, request.scope[INSTANCE], {"Connection": "close"})
    path = request.scope["path"]
    if error.status_code == 405:
        allowed = _allowed(request)
        wrong = Refused(
            f"{request.method} is not for {path[:200]}.", remedy=f"Use {allowed}. See /docs.", code="method-not-allowed"
        )
        return problem_response(wrong, request.scope[INSTANCE], {"Allow": allowed})
    if error.status_code == 404:
        missing = NotFound(
            f"There is no address {path[:200]}.", remedy="See /docs for those that are.", code="no-such-route"
        )
        return problem_response(missing, request.scope[INSTANCE])
    return problem_response(
        bad_request("bad-request", "The request cannot be read.", "See /docs."), request.scope[INSTANCE]
    )


def _allowed(request: Request) -> str:
    methods: set[str] = set()
    for template, item in request.app.openapi()["paths"].items():
        pattern = re.escape(template).replace(r"\{identifier\}", ".*")
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", pattern), request.scope["path"], re.DOTALL):
            methods |= {method.upper() for method in item}
            methods |= {"HEAD"} if template.startswith(f"{PREFIX}/content/") else set()
    return ", ".join(sorted(methods))


async def _on_validation(request: Request, error: Exception) -> Response:
    """What pydantic found in a query or a body, as faults."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 - it was registered for these
    faults = []
    for found in error.errors():
        where, *path = (str(part) for part in found["loc"])
        code = "bad-query" if where in ("query", "path") else "invalid"
        faults.append(Fault(code, str(found["msg"]), ".".join(path)))
    in_query = all(fault.code == "bad-query" for fault in faults)
    wrong = Invalid(
        "The request is not right: " + "; ".join(f"{fault.path}: {fault.message}" for fault in faults[:5]) + ".",
        faults=faults,
        remedy="See /docs for what this address takes.",
        code="bad-query" if in_query else "invalid",
    )
    return problem_response(wrong, request.scope[INSTANCE])


def _openapi(app: FastAPI, routers: Iterable[APIRouter]) -> dict[str, Any]:
    if app.openapi_schema is None:
        app.openapi_schema = make_document(app, routers)
    return app.openapi_schema
