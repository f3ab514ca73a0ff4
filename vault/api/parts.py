"""What the API is given by the daemon that builds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from vault.catalog.engine import Catalogue
from vault.clock import Clock
from vault.config import Settings
from vault.custody.backups import Backups
from vault.custody.context import Custodian
from vault.custody.dispatcher import Dispatcher
from vault.custody.recalls import NoRecalls, Recaller
from vault.custody.watch import Watch
from vault.health.watch import HealthWatch
from vault.intake.batches import Batches
from vault.intake.bell import Bell
from vault.intake.deposit import Intake
from vault.intake.receipts import Receipts
from vault.intake.uploads import Uploads
from vault.recovery.adopting import TapeImport
from vault.shelf.desk import ShelfDesk
from vault.signing import NodeKey
from vault.tapes.desk import TapeDesk

Metrics = Callable[[str], tuple[bytes, str]]
"""Given an ``Accept`` header, returns metrics and their media type. Blocking."""


@dataclass(frozen=True)
class NodeParts:
    """The parts of one node that requests speak to. Everything in it may be used from any thread."""

    settings: Settings
    catalogue: Catalogue
    custodian: Custodian
    intake: Intake
    batches: Batches
    receipts: Receipts
    bell: Bell
    backups: Backups
    uploads: Uploads
    dispatcher: Dispatcher
    watch: Watch
    health: HealthWatch
    key: NodeKey
    metrics: Metrics
    clock: Clock
    tapes: TapeDesk
    tape_import: TapeImport
    shelf: ShelfDesk
    recaller: Recaller = field(default_factory=NoRecalls)


async def parts_of(request: Request) -> NodeParts:
    """The node that this request is for. Not blocking: what may block goes to a thread each time."""
    parts = request.app.state.parts
    assert isinstance(parts, NodeParts), "create_app set it"  # noqa: S101
    return parts


Node = Annotated[NodeParts, Depends(parts_of)]
