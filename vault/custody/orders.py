"""What people and programs may order: a verification now, a repair now."""

from __future__ import annotations

import uuid

from vault.catalog import copies, packages, tasks, verifications
from vault.catalog import volumes as catalog_volumes
from vault.custody.context import STORED_STATES, Custodian
from vault.errors import NotFound
from vault.ledger import append
from vault.model import CopyState, EventType, Json, NewEvent, Outcome, TaskState, Verification


def scope_of(order: Verification) -> dict[str, Json]:
    """What an event says of an order's scope beside volume and package."""
    said: dict[str, Json] = {"fonds": order.fonds, "sample": order.sample}
    return {name: value for name, value in said.items() if value}


def order_verification(
    custodian: Custodian,
    *,
    volume: str = "",
    identifier: str = "",
    fonds: str = "",
    sample: int = 0,
    agent: str,
    why: str = "",
) -> Verification:
    """Check every copy in the scope now: on a volume, of a package, of a fonds, each empty for all; with ``sample`` of
    so many packages of these, chosen at random. ``why`` is said in the event.

    Raises NotFound for a volume, package or fonds (``no-such-fonds``) that is not.

    The order is a row; what it asks for follows from the copies' last checks, so a restart forgets nothing of it.
    """
    order_id = str(uuid.uuid4())
    with custodian.catalogue.write() as tx:
        if volume and catalog_volumes.get(tx, volume) is None:
            raise NotFound(
                f"There is no volume {volume!r}.", remedy="Look at `vaultctl volumes`.", code="no-such-volume"
            )
        if identifier:
            package = packages.get(tx, identifier)
            if package is None:
                raise NotFound(f"There is no package {identifier!r}.", code="no-such-package")
            in_scope = [c for c in copies.of_package(tx, package.id) if volume in ("", c.volume)]
            total = sum(c.state in STORED_STATES for c in in_scope)
        else:
            total = sum(
                number
                for (name, state), number in copies.counts(tx).items()
                if state in STORED_STATES and volume in ("", name)
            )
        if fonds and not packages.has_fonds(tx, fonds):
            raise NotFound(
                f"There is no package of the fonds {fonds[:200]!r}.",
                remedy="Look at its spelling: vaultctl packages --fonds.",
                code="no-such-fonds",
            )
        order = verifications.order(tx, order_id, volume, identifier, agent, total, fonds=fonds, sample=sample)
        append(
            tx,
            NewEvent(
                EventType.VERIFICATION_REQUESTED,
                Outcome.SUCCESS,
                agent,
                identifier,
                None,
                volume,
                {"verification": order_id, "copies": order.total, **scope_of(order), **({"why": why} if why else {})},
            ),
        )
    custodian.wake()
    return order


def order_repair(custodian: Custodian, identifier: str, agent: str) -> int:
    """Have the package's damaged and missing copies repaired now rather than at the next attempt.

    Returns how many such copies there are. What is damaged is repaired without any order; this only ends the wait
    after failed attempts. Raises NotFound.
    """
    with custodian.catalogue.write() as tx:
        package = packages.get(tx, identifier)
        if package is None:
            raise NotFound(f"There is no package {identifier!r}.", code="no-such-package")
        broken = [c for c in copies.of_package(tx, package.id) if c.state in (CopyState.DAMAGED, CopyState.MISSING)]
        for task in tasks.open_by_keys(tx, [f"repair:{copy.id}" for copy in broken]):
            if task.state is TaskState.READY:
                tasks.postpone(tx, task.id, tx.now, f"ordered by {agent}")
    custodian.wake()
    return len(broken)
