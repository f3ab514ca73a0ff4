"""What is whose: who may see and touch which package, deposit or batch.

A token may be bound to an agency. It then sees what is of that agency, and gets for everything else the very answer
that it gets for what does not exist; what it deposits is of that agency. Every address that lets such tokens in
(``needs(…, bound=True)``) asks here. Whoever is bound to no agency sees everything that their scopes allow.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from vault.api.auth import Principal
from vault.catalog import packages
from vault.catalog.batches import Batch
from vault.catalog.engine import Tx
from vault.depositing import Upload
from vault.errors import Forbidden, NotFound
from vault.intake.request import request_of
from vault.model import Descriptive, Ingest, Package, Scope, Version


def may_see(who: Principal, agency: str) -> bool:
    """Whether they may see what is of this agency ("" where it is of none)."""
    return not who.agency or who.agency == agency


def only_agency(who: Principal) -> str | None:
    """The agency to which a listing must be narrowed; None where it need not be."""
    return who.agency or None


def seen_package(tx: Tx, who: Principal, identifier: str) -> Package:
    """Return a package that they may see. Raises NotFound (``no-such-package``), the same for what they may not."""
    found = packages.get(tx, identifier)
    if found is None or found.head == 0 or not may_see(who, found.descriptive.agency):
        raise no_such_version(identifier, None)
    return found


def seen_version(tx: Tx, who: Principal, identifier: str, number: int | None) -> Version:
    """Return a version of a package that they may see; None for the newest.

    Raises NotFound: ``no-such-version`` where they may see the package, else ``no-such-package``.
    """
    package = seen_package(tx, who, identifier)
    found = packages.version(tx, identifier, package.head if number is None else number)
    if found is None:
        raise no_such_version(identifier, number)
    return found


def may_follow(tx: Tx, who: Principal, ingest: Ingest) -> bool:
    """Whether they may see a deposit: one that is said to be of their agency, or was made to a package that is."""
    if may_see(who, ingest.agency):
        return True
    package = packages.get(tx, ingest.identifier)
    return package is not None and may_see(who, package.descriptive.agency)


def own(who: Principal, identifier: str, said: Descriptive) -> Descriptive:
    """Return what a depositor said of a package, with the agency that they are bound to.

    For the beginning of every deposit. Raises Forbidden: ``not-your-agency`` when they name another one,
    ``not-your-prefix`` for an identifier that their token may not use, whether it is there or not.
    """
    token = who.token
    if token is None:
        return said
    if token.prefix and not identifier.startswith(token.prefix):
        raise Forbidden(
            f"{who.agent} may only deposit identifiers that begin with {token.prefix!r}.",
            remedy="Use such an identifier, or another token.",
            code="not-your-prefix",
        )
    if not token.agency:
        return said
    if said.agency not in ("", token.agency):
        raise Forbidden(
            f"{who.agent} is bound to the agency {token.agency!r}, and this is said to be of another.",
            remedy="Leave agency out, or use the token of that agency.",
            code="not-your-agency",
        )
    return dataclasses.replace(said, agency=token.agency)


def owner(who: Principal) -> Callable[[Upload], bool]:
    """Return what says whether an upload is theirs: they began it, and may deposit what it is to become.

    The name does not say it alone: a token can be revoked, and another of that name be made for another agency.
    """

    def is_theirs(upload: Upload) -> bool:
        if upload.agent != who.agent:
            return False
        request = request_of(upload)
        if not request.identifier.startswith(who.token.prefix if who.token else ""):
            return False
        # What somebody unbound began was not looked at as a bound depositor's is, even if it names the same agency.
        return not who.agency or (request.bound and request.descriptive.agency == who.agency)

    return is_theirs


def own_batch(who: Principal, agency: str, identifiers: Iterable[str]) -> str:
    """Return the agency of a batch that they open. Raises Forbidden as :func:`own` does for any package on it."""
    said = Descriptive(agency=agency)
    for identifier in identifiers:
        said = own(who, identifier, said)
    return said.agency


def sees_batches_of_others(who: Principal) -> bool:
    """Whether they may see more batches than their own: a depositor sees what they opened, and nobody else's."""
    return bool(who.scopes & {Scope.READ, Scope.OPERATE, Scope.AUDIT})


def may_see_batch(who: Principal, batch: Batch) -> bool:
    """Whether they may see a batch."""
    return may_see(who, batch.agency) and (batch.agent == who.agent or sees_batches_of_others(who))


def no_such_version(identifier: str, number: int | None) -> NotFound:
    """There is no such package, or it has no such version."""
    if number is None:
        return NotFound(f"There is no package {identifier!r}.", remedy="Look at its spelling.", code="no-such-package")
    return NotFound(
        f"There is no version {number} of {identifier!r}.",
        remedy="Look at the package's versions.",
        code="no-such-version",
    )
