"""Boards and panels, and what they are in Grafana's dashboard JSON (schema version 39, checked against
``@grafana/schema``)."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

GREEN: Final = "green"
YELLOW: Final = "yellow"
RED: Final = "red"
WIDTH: Final = 24

Step = tuple[float | None, str]
"""From this value on (None: from below) this colour."""

NEUTRAL: Final[tuple[Step, ...]] = ((None, "blue"),)
ANY_IS_BAD: Final[tuple[Step, ...]] = ((None, GREEN), (1, RED))
ANY_IS_ODD: Final[tuple[Step, ...]] = ((None, GREEN), (1, YELLOW))
ONE_IS_GOOD: Final[tuple[Step, ...]] = ((None, RED), (1, GREEN))
DAY: Final = 86400

_SOURCE: Final[Json] = {"type": "prometheus", "uid": "${datasource}"}


class Kind(enum.StrEnum):
    """Kinds of panels, by Grafana's names."""

    STAT = "stat"
    TIME = "timeseries"
    TABLE = "table"
    BARS = "bargauge"


@dataclass(frozen=True, slots=True)
class Query:
    """A question in PromQL, and how to call each answer (``{{label}}``)."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. ``id`` never changes: alerts lead to it. ``title`` is Vietnamese, ``about`` English. ``runbook`` is
    the section to read on in. ``may_be_empty`` says why no answer can be in order."""

    id: int
    kind: Kind
    title: str
    about: str
    queries: tuple[Query, ...]
    unit: str = "short"
    steps: tuple[Step, ...] = NEUTRAL
    runbook: str = ""
    width: int = 6
    height: int = 5
    may_be_empty: str = ""
    words: tuple[tuple[str, str], ...] = ()
    """Words to show for values: ("1", "có")."""
    hidden: tuple[str, ...] = ()
    """Columns of a table that are not shown."""
    most: float | None = None


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the head of a board: the values that a label has in a metric."""

    name: str
    title: str
    metric: str
    label: str


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard. ``file`` is also the end of its uid."""

    file: str
    title: str
    about: str
    panels: tuple[Panel, ...]
    variables: tuple[Variable, ...] = ()
    since: str = "now-24h"

    @property
    def uid(self) -> str:
        """What links know it by."""
        return f"khoso-{self.file}"

    def json(self) -> Json:
        """The dashboard as Grafana reads it."""
        return {
            "uid": self.uid,
            "title": f"Khoso – {self.title}",
            "description": self.about,
            "tags": ["khoso"],
            "timezone": "browser",
            "schemaVersion": 39,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "1m",
            "time": {"from": self.since, "to": "now"},
            "templating": {"list": list(self._variables())},
            "links": [_link("Khoso", tags=["khoso"])],
            "annotations": {"list": []},
            "panels": list(self._panels()),
        }

    def _variables(self) -> Iterator[Json]:
        yield {"type": "datasource", "name": "datasource", "label": "Nguồn dữ liệu", "query": "prometheus", "hide": 0}
        for variable in (Variable("instance", "Nút", "vault_build_info", "instance"), *self.variables):
            yield {
                "type": "query",
                "name": variable.name,
                "label": variable.title,
                "datasource": _SOURCE,
                "query": f'label_values({variable.metric}{{job="khoso"}}, {variable.label})',
                "refresh": 2,
                "includeAll": True,
                "multi": True,
                "allValue": ".*",
                "current": {"text": "All", "value": "$__all"},
                "sort": 1,
                "hide": 0,
            }
        # Where the runbook can be read; change it to where you keep the documentation.
        yield {
            "type": "textbox",
            "name": "runbook",
            "label": "Runbook",
            "query": "docs/runbook.vi.md",
            "current": {"text": "docs/runbook.vi.md", "value": "docs/runbook.vi.md"},
            "hide": 2,
        }

    def _panels(self) -> Iterator[Json]:
        x = y = highest = 0
        for panel in self.panels:
            if x + panel.width > WIDTH:
                x, y, highest = 0, y + highest, 0
            yield _panel(panel, x, y)
            x, highest = x + panel.width, max(highest, panel.height)


def _panel(panel: Panel, x: int, y: int) -> Json:
    at_once = panel.kind is not Kind.TIME
    return {
        "id": panel.id,
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.about,
        "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height},
        "datasource": _SOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + place),
                "datasource": _SOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "instant": at_once,
                "range": not at_once,
                "format": "table" if panel.kind is Kind.TABLE else "time_series",
            }
            for place, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
        "transformations": _transformations(panel),
        "links": [_link("Runbook", f"${{runbook}}#{panel.runbook}")] if panel.runbook else [],
    }


def _link(title: str, url: str = "", tags: list[Json] | None = None) -> Json:
    """A link to a page, or to the boards with these tags."""
    among_us = url == ""
    return {
        "title": title,
        "type": "dashboards" if among_us else "link",
        "url": url,
        "tags": tags or [],
        "asDropdown": among_us,
        "icon": "external link" if among_us else "doc",
        "includeVars": among_us,
        "keepTime": among_us,
        "targetBlank": not among_us,
        "tooltip": "Các bảng khác" if among_us else "Hướng dẫn xử lý",
    }


def _defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"value": value, "color": color} for value, color in panel.steps]
    words: dict[str, Json] = {value: {"text": text, "index": place} for place, (value, text) in enumerate(panel.words)}
    found: dict[str, Json] = {
        "unit": panel.unit,
        "thresholds": {"mode": "absolute", "steps": steps},
        "color": {"mode": "palette-classic" if panel.kind is Kind.TIME else "thresholds"},
        "mappings": [{"type": "value", "options": words}] if words else [],
        "noValue": "không rõ",
    }
    if panel.most is not None:
        found |= {"min": 0, "max": panel.most}
    if panel.kind is Kind.TIME:
        shown = "line" if len(panel.steps) > 1 else "off"
        found["custom"] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False,
                           "thresholdsStyle": {"mode": shown}}  # fmt: skip
    return found


def _transformations(panel: Panel) -> Json:
    if panel.kind is not Kind.TABLE:
        return []
    hidden: dict[str, Json] = dict.fromkeys(("Time", "__name__", "job", *panel.hidden), True)
    options: Json = {"excludeByName": hidden, "indexByName": {}, "renameByName": {}}
    return [{"id": "organize", "options": options}]


_REDUCE: Final[Json] = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: Final[dict[Kind, Json]] = {
    Kind.STAT: {
        "reduceOptions": _REDUCE, "colorMode": "background", "graphMode": "none", "justifyMode": "auto",
        "orientation": "auto", "textMode": "auto", "wideLayout": True, "showPercentChange": False,
        "percentChangeColorMode": "standard",
    },
    Kind.TIME: {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    Kind.TABLE: {"showHeader": True, "cellHeight": "sm", "frameIndex": 0},
    Kind.BARS: {
        "reduceOptions": _REDUCE, "displayMode": "basic", "orientation": "horizontal", "showUnfilled": True,
        "valueMode": "color", "namePlacement": "auto", "sizing": "auto", "minVizHeight": 16, "minVizWidth": 8,
        "maxVizHeight": 300,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
    },
}  # fmt: skip
