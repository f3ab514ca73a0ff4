"""``vaultctl verify`` and ``vaultctl repair``."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Annotated

import typer

from vault import wire
from vault.cli.commands.readings import readings
from vault.cli.exits import ExitCode
from vault.cli.options import IdentifierArgument, JsonOption, WaitLimitOption, read_duration, read_identifier
from vault.cli.output import print_json
from vault.cli.render import node
from vault.cli.render.minutes import verification as render_minutes
from vault.cli.session import Session, session_of
from vault.cli.waiting import counting, wait_for
from vault.client import Client
from vault.errors import NotFound, Refused
from vault.i18n import _, n_
from vault.model import READABLE, Outcome, VerificationState

UNREACHED_SECONDS = 10.0
"""So long everything that is left must be out of reach before it is waited for no more."""

_ORDERS = 1000
_MOST_SHOWN = 50
_UUID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def verdict(found: wire.Verification) -> ExitCode:
    """How a verification ended, as a number: damage weighs more than what could not be reached."""
    if found.bad:
        return ExitCode.UNSOUND
    return ExitCode.UNREACHABLE if found.skipped else ExitCode.OK


def verify(
    context: typer.Context,
    volume: Annotated[str, typer.Option("--volume", metavar="NAME", help=_("Every copy on this volume."))] = "",
    identifier: Annotated[str, typer.Option("--identifier", metavar="ID", help=_("Every copy of this package."))] = "",
    fonds: Annotated[str, typer.Option("--fonds", metavar="FONDS", help=_("Every copy of this fonds."))] = "",
    all_copies: Annotated[bool, typer.Option("--all", help=_("Every copy there is."))] = False,
    sample: Annotated[
        int,
        typer.Option(
            "--sample",
            metavar="N",
            min=0,
            max=100_000,
            help=_("Only N packages, chosen at random: of all, or of that volume or fonds."),
        ),
    ] = 0,
    order: Annotated[
        str,
        typer.Option(
            "--order", metavar="NUMBER", help=_("No new order: how far an earlier one is. Its beginning is enough.")
        ),
    ] = "",
    every_order: Annotated[bool, typer.Option("--list", help=_("No new order: those that were given."))] = False,
    day: Annotated[
        str,
        typer.Option(
            "--day",
            metavar="DAY",
            help=_("No new order: minutes of what was read on a day (2026-11-22) or in a month (2026-11), by volume."),
        ),
    ] = "",
    minutes: Annotated[
        bool, typer.Option("--minutes", help=_("Print minutes of it, to be signed and kept; with --order or --wait."))
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help=_("Wait for its end; 5 if damage was found, 4 if a volume is away."))
    ] = False,
    timeout: WaitLimitOption = "",
    json: JsonOption = False,
) -> None:
    """Order a verification, or look at one."""
    session = session_of(context)
    limit = read_duration(timeout)
    if day:
        if any((identifier, fonds, all_copies, sample, order, every_order, wait)):
            raise typer.BadParameter(_("Beside --day only --volume can be given."))
        readings(session, day, volume, json=json)
        return
    scopes = sum((bool(volume), bool(identifier), bool(fonds), all_copies, bool(order), every_order))
    if scopes > 1 or (not scopes and not sample) or (sample and (identifier or order or every_order)):
        raise typer.BadParameter(
            _(
                "Give one of --volume, --identifier, --fonds, --all, --order, --list and --day, or --sample; for"
                " example: {example}"
            ).format(example="vaultctl verify --volume nas-a --wait")
        )
    if every_order:
        _list(session, json=json)
        return
    with session.client() as client:
        if order:
            found = find_order(client, order)
        else:
            wanted = read_identifier(identifier, "--identifier") if identifier else ""
            found = client.verify(
                wire.VerificationOrder(volume=volume, identifier=wanted, fonds=fonds, all=all_copies, sample=sample)
            )
        if wait:
            found = _await(session, client, found, limit)
        if json:
            print_json(found)
        elif minutes:
            bad = list(itertools.islice(failed_checks(client, found), found.bad))
            session.show(render_minutes(client.status().node, found, bad, session.speech))
        else:
            session.show(node.verification(found, session.speech))
        ended = found.state is VerificationState.DONE or wait
        if (ended or order) and not minutes:
            _explain(session, client, found)
    if ended:
        raise typer.Exit(verdict(found))


class OutOfReach:
    """Whether all that is left to check has been out of reach for a while, so that waiting has no end.

    A while, since a volume may be away for a moment only, and what it holds is counted anew each time.
    """

    def __init__(self, seconds: float = UNREACHED_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._since: float | None = None

    def __call__(self, seen: wire.Verification) -> bool:
        """Whether to wait no longer, by what was seen now."""
        if seen.state is VerificationState.DONE:
            return True
        if not seen.skipped or seen.checked + seen.skipped < seen.total:
            self._since = None
            return False
        now = self._clock()
        self._since = now if self._since is None else self._since
        return now - self._since >= self._seconds


def _await(session: Session, client: Client, found: wire.Verification, limit: timedelta | None) -> wire.Verification:
    with counting(session.err, _("Verifying")) as count:
        return wait_for(
            lambda: client.verification(found.id),
            OutOfReach(),
            what=_("The verification goes on; look with `vaultctl verify --order {id}`.").format(id=found.id),
            limit=limit,
            show=lambda seen: count(seen.checked, seen.total),
        )


def find_order(client: Client, text: str) -> wire.Verification:
    """The order of that number, or the one whose number begins so. Raises NotFound, Refused."""
    found = [one for one in client.verifications(_ORDERS).items if one.id.startswith(text.strip().lower())]
    if len(found) == 1:
        return found[0]
    if found:
        raise Refused(
            _("{count} orders to verify begin with {text}.").format(count=len(found), text=repr(text)),
            remedy=_("Give more of its number; `vaultctl verify --list` has them."),
            code="ambiguous-order",
        )
    if _UUID.fullmatch(text.strip()):
        return client.verification(text.strip().lower())
    raise NotFound(
        _("No order to verify has a number that begins with {text}.").format(text=repr(text)),
        remedy=_("`vaultctl verify --list` has the orders that were given."),
        code="no-such-verification",
    )


def _explain(session: Session, client: Client, found: wire.Verification) -> None:
    """Say on standard error which copies were bad or not reached, and what becomes of them."""
    err = session.err
    if found.bad:
        shown = list(itertools.islice(failed_checks(client, found), min(found.bad, _MOST_SHOWN)))
        if shown:
            err.print(node.bad_copies(shown, session.speech), crop=False)
        more = found.bad - len(shown)
        if more > 0:
            err.print(n_("and {n} more", "and {n} more", more).format(n=more))
        err.print(_("The node repairs them by itself; look at `vaultctl evidence` for what was damaged."))
    if found.skipped:
        away = _away(client, found)
        if away:
            err.print(node.not_reached(away), crop=False)
        text = n_("{n} copy could not be reached.", "{n} copies could not be reached.", found.skipped)
        err.print(text.format(n=found.skipped))
        if found.state is not VerificationState.DONE:
            text = _("The order goes on in the node as soon as they can be read; look with `{command}`.")
            err.print(text.format(command=f"vaultctl verify --order {found.id}"), soft_wrap=True)


def failed_checks(client: Client, order: wire.Verification) -> Iterator[wire.Event]:
    """The checks since the order, within its scope, that found damage; the oldest first."""
    requested = _events(client, 0, "verification-requested")
    after = next((event.seq for event in requested if event.detail.get("verification") == order.id), 0)
    for event in _events(client, after, "fixity-check", order.identifier):
        in_scope = order.volume in ("", event.volume) and event.outcome is Outcome.FAILURE
        if in_scope and (order.finished_at is None or event.time <= order.finished_at):
            yield event


def _events(client: Client, after: int, event_type: str, identifier: str = "") -> Iterator[wire.Event]:
    more = True
    while more:
        page = client.events(after=after, limit=500, identifier=identifier, event_type=event_type)
        yield from page.items
        after, more = page.last, page.more


def _away(client: Client, order: wire.Verification) -> list[wire.Volume]:
    names = {order.volume} if order.volume else set[str]()
    if order.identifier:
        versions = client.package(order.identifier).versions
        names = {copy.volume for version in versions for copy in version.copies if order.volume in ("", copy.volume)}
    return [
        volume
        for volume in client.volumes().items
        if volume.condition not in READABLE and volume.copies and (not names or volume.name in names)
    ]


def _list(session: Session, *, json: bool) -> None:
    with session.client() as client:
        found = client.verifications()
    if json:
        print_json(found)
    else:
        session.show(node.verifications(found.items, session.speech))


def repair(
    context: typer.Context,
    identifier: IdentifierArgument,
    wait: Annotated[bool, typer.Option("--wait", help=_("Wait until the policy of every version holds."))] = False,
    timeout: WaitLimitOption = "",
    json: JsonOption = False,
) -> None:
    """Order the repair of a package."""
    session = session_of(context)
    limit = read_duration(timeout)
    wanted = read_identifier(identifier)
    with session.client() as client:
        found = client.repair(wanted)
        if wait and found.ordered:
            wait_for(
                lambda: client.package(wanted),
                lambda seen: seen.policy_held,
                what=_("The repair goes on; look with `vaultctl tasks`."),
                limit=limit,
            )
    if json:
        print_json(found)
    elif found.ordered:
        text = n_("{n} copy will be repaired.", "{n} copies will be repaired.", found.ordered)
        session.out.print(text.format(n=found.ordered))
    else:
        session.out.print(_("Every copy is well; there is nothing to repair."))
