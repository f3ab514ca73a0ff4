"""Words that the boards share: the labels that every question has, and panels that come again and again."""

from __future__ import annotations

from typing import Final

from monitoring.grafana.model import NEUTRAL, Kind, Panel, Query, Step

OURS: Final = 'job="khoso", instance=~"$instance"'
YES_NO: Final = (("0", "không"), ("1", "có"))


def of(metric: str, **labels: str) -> str:
    """A selector of the series of those nodes that were chosen. A value is what the label is, or ``~`` and a pattern
    for it, or ``!`` and what it is not: ``of("vault_copies", state="~damaged|missing")``."""
    matchers = (f'{name}{_OPERATORS.get(value[:1], "=")}"{value.lstrip("~!")}"' for name, value in labels.items())
    return f"{metric}{{{', '.join((OURS, *matchers))}}}"


_OPERATORS: Final = {"~": "=~", "!": "!="}


def stat(
    id: int,  # noqa: A002 - Grafana's word
    title: str,
    about: str,
    expr: str,
    *,
    unit: str = "short",
    steps: tuple[Step, ...] = NEUTRAL,
    runbook: str = "",
    width: int = 4,
    legend: str = "",
    words: tuple[tuple[str, str], ...] = (),
    may_be_empty: str = "",
) -> Panel:
    """One number on a ground of its colour."""
    return Panel(
        id, Kind.STAT, title, about, (Query(expr, legend),), unit, steps, runbook, width, 4, may_be_empty, words
    )


def lines(
    id: int,  # noqa: A002
    title: str,
    about: str,
    *queries: Query,
    unit: str = "short",
    steps: tuple[Step, ...] = NEUTRAL,
    runbook: str = "",
    width: int = 12,
    may_be_empty: str = "",
) -> Panel:
    """How something went over time."""
    return Panel(id, Kind.TIME, title, about, queries, unit, steps, runbook, width, 8, may_be_empty)


def table(
    id: int,  # noqa: A002
    title: str,
    about: str,
    *queries: Query,
    unit: str = "short",
    steps: tuple[Step, ...] = NEUTRAL,
    runbook: str = "",
    width: int = 12,
    hidden: tuple[str, ...] = (),
    may_be_empty: str = "",
) -> Panel:
    """A row for each series."""
    return Panel(id, Kind.TABLE, title, about, queries, unit, steps, runbook, width, 8, may_be_empty, (), hidden)


def bars(
    id: int,  # noqa: A002
    title: str,
    about: str,
    expr: str,
    legend: str,
    *,
    unit: str = "percentunit",
    steps: tuple[Step, ...] = NEUTRAL,
    runbook: str = "",
    width: int = 12,
    most: float | None = 1,
    may_be_empty: str = "",
) -> Panel:
    """A bar for each series."""
    query = (Query(expr, legend),)
    return Panel(id, Kind.BARS, title, about, query, unit, steps, runbook, width, 8, may_be_empty, most=most)
