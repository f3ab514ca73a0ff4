"""``vaultctl tasks`` and ``vaultctl events``."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Annotated

import typer

from vault import wire
from vault.cli.options import JsonOption, read_identifier
from vault.cli.output import print_json
from vault.cli.render import ledger, node
from vault.cli.session import session_of
from vault.client import Client
from vault.clock import utcnow
from vault.i18n import _
from vault.model import TaskState

_PAGE = 500
_FOLLOW_SECONDS = 1.0


def tasks(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help=_("Also those that are ended, the newest first."))] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help=_("How many at most."))] = 100,
    json: JsonOption = False,
) -> None:
    """List the work."""
    session = session_of(context)
    with session.client() as client:
        found = client.tasks(limit=limit, states=TaskState if every else ())
    if json:
        print_json(found)
    else:
        session.show(node.tasks(found.items, session.speech, utcnow()))


def events(
    context: typer.Context,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help=_("Go on with those that come, until Ctrl-C."))
    ] = False,
    identifier: Annotated[str, typer.Option("--identifier", metavar="ID", help=_("Only those of this package."))] = "",
    event_type: Annotated[str, typer.Option("--type", metavar="TYPE", help=_("Only those of this type."))] = "",
    after: Annotated[
        int | None,
        typer.Option("--after", min=0, metavar="NUMBER", help=_("Those after this one, instead of the last.")),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help=_("How many at most (of those that are there)."))] = 50,
    json: JsonOption = False,
) -> None:
    """List events, the newest last. With --json one line for each."""
    session = session_of(context)
    wanted = read_identifier(identifier, "--identifier") if identifier else ""
    with session.client() as client:
        if after is not None:
            found, last = _some(client, after, limit, wanted, event_type)
        elif wanted or event_type:
            found, last = _last_of(client, limit, wanted, event_type)
        else:
            found, last = _some(client, max(0, client.status().ledger.seq - limit), limit, "", "")
        for event in found:
            _print(context, event, json=json)
        while follow:
            page = client.events(after=last, limit=_PAGE, identifier=wanted, event_type=event_type)
            last = page.last
            for event in page.items:
                _print(context, event, json=json)
            if not page.more:
                time.sleep(_FOLLOW_SECONDS)


def _print(context: typer.Context, event: wire.Event, *, json: bool) -> None:
    session = session_of(context)
    if json:
        print_json(event, indent=None)
    else:
        session.out.print(ledger.event_line(event, session.speech), soft_wrap=True)


def _pages(client: Client, after: int, identifier: str, event_type: str) -> Iterator[wire.EventList]:
    more = True
    while more:
        page = client.events(after=after, limit=_PAGE, identifier=identifier, event_type=event_type)
        yield page
        after, more = page.last, page.more


def _some(client: Client, after: int, limit: int, identifier: str, event_type: str) -> tuple[list[wire.Event], int]:
    """The first ``limit`` events after a number, and after which one to go on."""
    found: list[wire.Event] = []
    last = after
    for page in _pages(client, after, identifier, event_type):
        room = limit - len(found)
        found += page.items[:room]
        last = page.last
        if len(page.items) > room or (len(found) == limit and found):
            return found, found[-1].seq
    return found, last


def _last_of(client: Client, limit: int, identifier: str, event_type: str) -> tuple[list[wire.Event], int]:
    """The last ``limit`` events of a package or a type, and after which one to go on."""
    found: deque[wire.Event] = deque(maxlen=limit)
    last = 0
    for page in _pages(client, 0, identifier, event_type):
        found.extend(page.items)
        last = page.last
    return list(found), last
