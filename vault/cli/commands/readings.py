"""``vaultctl verify --day``: minutes of what was read back, by day and volume."""

from __future__ import annotations

import calendar
import re
from collections.abc import Collection
from datetime import date

import typer

from vault import wire
from vault.cli.output import print_json
from vault.cli.render.minutes import scheduled as render_minutes
from vault.cli.session import Session
from vault.client import Client
from vault.i18n import _
from vault.model import Outcome

_PAGE = 500
_MOST_SHOWN = 1000


def readings(session: Session, text: str, volume: str, *, json: bool) -> None:
    """Print the minutes of a day or a month."""
    first, last = read_day(text)
    with session.client() as client:
        found = client.readings(first, last, volume)
        bad = [] if json else failed_checks(client, found.items)
    if json:
        print_json(found)
    else:
        session.show(render_minutes(found, (first, last), bad, session.speech))


def read_day(text: str) -> tuple[date, date]:
    """The first and the last day that ``2026-11-22`` or ``2026-11`` means. Raises typer.BadParameter."""
    match = re.fullmatch(r"([0-9]{4})-([0-9]{1,2})(?:-([0-9]{1,2}))?", text.strip())
    try:
        if match is not None:
            year, month = int(match[1]), int(match[2])
            if match[3]:
                return date(year, month, int(match[3])), date(year, month, int(match[3]))
            return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])
    except ValueError:
        pass
    message = _("{text} is no day; write one such as 2026-11-22, or a month such as 2026-11.").format(text=repr(text))
    raise typer.BadParameter(message, param_hint="--day")


def failed_checks(client: Client, days: Collection[wire.ReadingDay]) -> list[wire.Event]:
    """The checks of these days that found a copy not intact, the oldest first."""
    found: list[wire.Event] = []
    for day in days:
        if day.first_event is None or day.last_event is None or not (_bad(day.routine) or _bad(day.other)):
            continue
        after, more = day.first_event - 1, True
        while more and after < day.last_event and len(found) < _MOST_SHOWN:
            page = client.events(after=after, limit=_PAGE, event_type="fixity-check")
            found += [one for one in page.items if _is_of(one, day)]
            after, more = page.last, page.more
    return sorted({event.seq: event for event in found}.values(), key=lambda event: event.seq)


def _bad(count: wire.ReadingCount) -> int:
    return count.copies - count.intact


def _is_of(event: wire.Event, day: wire.ReadingDay) -> bool:
    first, last = day.first_event, day.last_event
    within = first is not None and last is not None and first <= event.seq <= last
    return within and event.volume == day.volume and event.outcome is Outcome.FAILURE
