"""What a dashboard is made of, and how it becomes the JSON that Grafana loads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

JOB = 'job=~"$job"'
INSTANCE = 'job=~"$job", instance=~"$instance"'
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH, HEIGHT = 24, 8


@dataclass(frozen=True, slots=True)
class Query:
    """One query, and what its lines are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `kind` is Grafana's: timeseries, stat, heatmap. `unit` is Grafana's too."""

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    is_stacked: bool = False


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; each row shares the width evenly."""

    uid: str
    title: str
    rows: tuple[tuple[Panel, ...], ...]
    processes: str = "orchestrator_build_info"
    """A metric that each process has which it is about: what can be chosen comes from its labels."""
    is_about_journeys: bool = True


def rate(metric: str, selector: str, *by: str) -> str:
    """The metric's increase a second, summed by these labels."""
    return f"sum by ({', '.join(by)}) (rate({metric}{{{selector}}}[$__rate_interval]))"


def quantile(value: float, metric: str, selector: str) -> str:
    """A quantile of a histogram over all that the selector takes in."""
    return f"histogram_quantile({value}, {rate(metric + '_bucket', selector, 'le')})"


def quantile_over(window: str, value: float, metric: str, selector: str) -> str:
    """A quantile over a window of its own, for what happens rarely."""
    return f"histogram_quantile({value}, sum by (le) (increase({metric}_bucket{{{selector}}}[{window}])))"


def quantiles(metric: str, selector: str) -> tuple[Query, ...]:
    """The median, and what one in twenty and one in a hundred exceed."""
    return tuple(Query(quantile(value, metric, selector), f"p{value * 100:.0f}") for value in (0.5, 0.95, 0.99))


def resources(what: str) -> tuple[Panel, Panel]:
    """What the processes take of their machines; `what` names one of them."""
    return (
        Panel(
            "Processor",
            f"Of each {what}; one core is 100 %.",
            (Query(f"rate(process_cpu_seconds_total{{{INSTANCE}}}[$__rate_interval])", "{{instance}}"),),
            unit="percentunit",
        ),
        Panel(
            "Memory",
            "Resident.",
            (Query(f"process_resident_memory_bytes{{{INSTANCE}}}", "{{instance}}"),),
            unit="bytes",
        ),
    )


def age(metric: str) -> str:
    """Seconds since an instant."""
    return f"time() - {metric}{{{INSTANCE}}}"


def rendered(dashboard: Dashboard) -> str:
    """The dashboard as the JSON that Grafana loads."""
    panels: list[dict[str, Any]] = []
    for number, row in enumerate(dashboard.rows):
        width = WIDTH // len(row)
        for place, panel in enumerate(row):
            position = {"x": place * width, "y": number * HEIGHT, "w": width, "h": HEIGHT}
            panels.append(_panel(panel, len(panels) + 1, position))
    document = {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["orchestrator"],
        "schemaVersion": 41,
        "version": 1,
        "editable": False,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables(dashboard)},
        "links": [
            {"type": "dashboards", "tags": ["orchestrator"], "title": "Others", "asDropdown": True, "includeVars": True}
        ],
        "panels": panels,
    }
    return json.dumps(document, indent=2) + "\n"


def _panel(panel: Panel, number: int, position: dict[str, int]) -> dict[str, Any]:
    custom: dict[str, Any] = {}
    if panel.kind == "timeseries":
        custom = {"fillOpacity": 20 if panel.is_stacked else 5, "showPoints": "never"}
        if panel.is_stacked:
            custom["stacking"] = {"mode": "normal"}
    targets = [
        {
            "refId": chr(ord("A") + place),
            "datasource": DATA_SOURCE,
            "expr": query.expr,
            "legendFormat": query.legend,
            **({"format": "heatmap"} if panel.kind == "heatmap" else {}),
        }
        for place, query in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATA_SOURCE,
        "gridPos": position,
        "fieldConfig": {"defaults": {"unit": panel.unit, "custom": custom}, "overrides": []},
        "options": {"reduceOptions": {"calcs": ["lastNotNull"]}} if panel.kind == "stat" else {},
        "targets": targets,
    }


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    def label(name: str, query: str) -> dict[str, Any]:
        return {
            "name": name,
            "type": "query",
            "datasource": DATA_SOURCE,
            "query": {"query": query, "refId": name},
            "includeAll": True,
            "multi": True,
            "refresh": 2,
            "current": {"text": "All", "value": "$__all"},
        }

    processes = dashboard.processes
    variables = [
        {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"},
        label("job", f"label_values({processes}, job)"),
        label("instance", f"label_values({processes}{{{JOB}}}, instance)"),
    ]
    if dashboard.is_about_journeys:
        variables.append(label("journey", f"label_values(orchestrator_transitions_total{{{JOB}}}, journey)"))
    return variables
