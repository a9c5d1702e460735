"""Dashboards as Grafana reads them: panels of queries, laid out in rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from monitoring.document import Json

COLUMNS = 24  # Grafana's grid
SCHEMA = 39
DATASOURCE: Json = {"type": "prometheus", "uid": "$datasource"}


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression, and what a series of it is called: `{{label}}` stands for a label's value."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure.

    Attributes:
        title: what it shows.
        queries: of which.
        unit: Grafana's name of the unit.
        description: how to read it.
        kind: timeseries, stat, table, heatmap or state-timeline.
        width: of 24 columns.
        stacked: whether series are laid upon each other.
    """

    title: str
    queries: tuple[Query, ...]
    unit: str = "short"
    description: str = ""
    kind: str = "timeseries"
    width: int = 12
    stacked: bool = False

    def document(self, number: int, x: int, y: int, height: int) -> Json:
        """At a place of the grid."""
        instant = self.kind in ("stat", "table")
        custom: Json = {"stacking": {"mode": "normal"}, "fillOpacity": 40} if self.stacked else {}
        document: Json = {
            "id": number,
            "title": self.title,
            "description": self.description,
            "type": self.kind,
            "datasource": DATASOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": height},
            "fieldConfig": {"defaults": {"unit": self.unit, "custom": custom}, "overrides": []},
            "options": {"tooltip": {"mode": "multi", "sort": "desc"}} if self.kind == "timeseries" else {},
            "targets": [
                {
                    "refId": chr(ord("A") + place),
                    "expr": query.expression,
                    "legendFormat": query.legend or "__auto",
                    "instant": instant,
                    "range": not instant,
                    "format": {"table": "table", "heatmap": "heatmap"}.get(self.kind, "time_series"),
                    "datasource": DATASOURCE,
                }
                for place, query in enumerate(self.queries)
            ],
        }
        return document


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice above the dashboard: the values of `label` of a metric, which may be narrowed by selectors."""

    name: str
    metric: str
    label: str
    title: str

    def document(self) -> Json:
        """With all of them chosen at first."""
        query = f"label_values({self.metric}, {self.label})"
        return {
            "name": self.name,
            "label": self.title,
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": query, "refId": "values"},
            "definition": query,
            "refresh": 2,
            "sort": 1,
            "includeAll": True,
            "multi": True,
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
        }


@dataclass(frozen=True, slots=True)
class Row:
    """Panels beside each other, under a heading."""

    title: str
    panels: tuple[Panel, ...]
    height: int = 8


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One page. `uid`: its name in links, and of its file."""

    uid: str
    title: str
    description: str
    rows: tuple[Row, ...]
    variables: tuple[Variable, ...] = field(default=())

    @property
    def queries(self) -> Sequence[Query]:
        """All of its panels."""
        return [query for row in self.rows for panel in row.panels for query in panel.queries]

    def document(self) -> Json:
        """As Grafana imports it."""
        source: Json = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": ["treadle"],
            "schemaVersion": SCHEMA,
            "editable": True,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "timezone": "browser",
            "links": [{"type": "dashboards", "tags": ["treadle"], "title": "treadle", "asDropdown": True}],
            "templating": {"list": [source, *(variable.document() for variable in self.variables)]},
            "panels": list(_laid_out(self.rows)),
        }


def _laid_out(rows: Sequence[Row]) -> list[Json]:
    panels: list[Json] = []
    y = 0
    for row in rows:
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        panels.append({"id": len(panels) + 1, "type": "row", "title": row.title, "collapsed": False, "gridPos": place})
        x, y = 0, y + 1
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y = 0, y + row.height
            panels.append(panel.document(len(panels) + 1, x, y, row.height))
            x += panel.width
        y += row.height
    return panels
