"""``GET /status``: the node on one screen."""

from __future__ import annotations

from fastapi import APIRouter

import vault
from vault import wire
from vault.api import views
from vault.api.alerts import alerts
from vault.api.auth import MayLook
from vault.api.openapi import PROBLEM
from vault.api.operations import stalled_tasks
from vault.api.parts import Node
from vault.catalog import events, packages, schedules, tasks
from vault.custody import convergence
from vault.model import TaskState

router = APIRouter(tags=["operations"], responses=PROBLEM)

_LISTED = 100


@router.get("/status", summary="The node on one screen")
def get_status(node: Node, _who: MayLook) -> wire.Status:
    """Whether the policy holds, volumes, running work with its progress, and what should be looked at."""
    stalled = stalled_tasks(node)
    with node.catalogue.read() as tx:
        volumes = views.all_volumes(node, tx)
        running = tasks.listing(tx, [TaskState.RUNNING], limit=_LISTED)
        below = packages.count_below_policy_by_class(tx)
        known_schedules = [wire.Schedule.model_validate(schedule) for schedule in schedules.all(tx)]
        counts: dict[str, dict[str, int]] = {}
        for (kind, state), number in sorted(tasks.counts(tx).items()):
            counts.setdefault(str(kind), {})[str(state)] = number
        head = events.head(tx)
        return wire.Status(
            node=node.settings.node.name,
            version=vault.__version__,
            key_id=node.key.key_id,
            time=tx.now,
            policy_held=not below,
            packages=packages.count(tx),
            below_policy=below,
            backlog=views.backlog(convergence.of_node(tx)) if below else None,
            volumes=volumes,
            running=[views.task(task, stalled) for task in running],
            tasks=counts,
            alerts=alerts(node, tx, volumes, [task for task in running if task.id in stalled], known_schedules),
            schedules=known_schedules,
            ledger=wire.LedgerHead(seq=head.seq if head else 0, hash=head.hash if head else ""),
        )
