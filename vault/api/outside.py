"""What lies outside the prefix: whether the process lives, whether it can work, metrics, and the documentation."""

from __future__ import annotations

import time
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from vault import wire
from vault.api import threads
from vault.api.auth import PRINCIPAL, refuse_bound
from vault.api.docs_page import render
from vault.api.openapi import PROBLEM
from vault.api.parts import Node, NodeParts
from vault.catalog import volumes as catalog_volumes
from vault.errors import VaultError
from vault.model import Condition

router = APIRouter(tags=["node"], responses=PROBLEM)

PLANNER_PATIENCE: Final = 60.0
"""Seconds beyond two intervals that the planner may be silent. A turn may take long where there is much to derive."""

_DOCS_CSP: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


@router.get("/healthz", summary="Whether the process lives")
async def healthz() -> wire.Health:
    """The event loop turns. Says nothing about volumes: a restart would not help them."""
    return wire.Health()


@router.get(
    "/readyz",
    summary="Whether the node can do its work",
    response_model=wire.Readiness,
    responses={503: {"description": "It cannot; `reasons` says why.", "model": wire.Readiness}},
)
async def readyz(node: Node) -> Response:
    """The catalogue answers, the planner turned lately, and at least one volume is on-line."""
    reasons = await threads.run("readyz", _reasons, node)
    document = wire.Readiness(ready=not reasons, reasons=reasons)
    return JSONResponse(document.model_dump(), 503 if reasons else 200)


def _reasons(node: NodeParts) -> list[str]:
    reasons = []
    silence = time.monotonic() - node.dispatcher.last_turn
    if silence > 2 * node.settings.custody.planner_interval.total_seconds() + PLANNER_PATIENCE:
        reasons.append(f"The planner has not turned for {silence:.0f} seconds.")
    try:
        with node.catalogue.read() as tx:
            online = [v.name for v in catalog_volumes.all(tx) if v.condition is Condition.ONLINE]
        if not online:
            reasons.append("No volume is on-line.")
    except VaultError as error:
        reasons.append(str(error))
    return reasons


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    responses={200: {"description": "Metrics.", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    response_class=Response,
)
async def metrics(request: Request, node: Node) -> Response:
    """Everything that is measured, in the text format of Prometheus or OpenMetrics, by ``Accept``."""
    who = request.scope[PRINCIPAL]
    if who is not None:
        refuse_bound(who)
    body, media_type = await threads.run("metrics", node.metrics, request.headers.get("accept", ""))
    return Response(body, headers={"Content-Type": media_type})


@router.get("/docs", include_in_schema=False)
def docs(request: Request) -> HTMLResponse:
    """The reference of this API, for people. It needs nothing from the Internet: archives often have none."""
    page: str | None = getattr(request.app.state, "docs_page", None)
    if page is None:
        page = request.app.state.docs_page = render(request.app.openapi())
    return HTMLResponse(page, headers={"Content-Security-Policy": _DOCS_CSP})


@router.get("/openapi.json", include_in_schema=False)
def openapi(request: Request) -> JSONResponse:
    """The OpenAPI document."""
    return JSONResponse(request.app.openapi())
