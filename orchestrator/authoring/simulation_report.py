"""A simulation's result as tables for people and as plain values for JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from orchestrator.authoring.intervals import CONFIDENCE, wilson
from orchestrator.authoring.simulate import ArmReport, JourneyReport, Simulation
from orchestrator.model.journey import Exit, JourneySet


def report_tables(result: Simulation, journeys: JourneySet, shown: Sequence[str], *, seconds: float) -> RenderableType:
    """Everything for a terminal: one block for each journey in `shown`, then the totals."""
    blocks: list[RenderableType] = []
    for name in shown:
        report = result.journeys[name]
        blocks += [
            Text(f"{name}: {journeys.current[name].title}", style="bold"),
            _entries(report),
            _path(report, journeys),
        ]
        if report.sent or report.not_sent:
            blocks.append(_sends(report))
        if journeys.current[name].goal is not None:
            blocks.append(_goal(report))
        if report.experiments:
            blocks.append(_experiments(report, journeys))
        blocks.append(Text())
    if result.segments:
        blocks += [_segments(result), Text()]
    if result.commands or result.audiences or result.emitted:
        blocks += [_commands(result), Text()]
    blocks.append(Text(_totals(result, seconds)))
    return Group(*blocks)


def report_values(result: Simulation, shown: Sequence[str], *, seconds: float) -> dict[str, Any]:
    """The same for JSON; instants are ISO 8601, amounts text, `seconds` the time that the run took."""
    return {
        "events": result.events,
        "events_skipped": result.skipped,
        "events_duplicate": result.duplicates,
        "events_beyond_end": result.beyond,
        "customers": result.customers,
        "timers_fired": result.timers,
        "first_event_at": _instant(result.first_ms),
        "last_event_at": _instant(result.last_ms),
        "until": _instant(result.until_ms),
        "bad_lines": [{"line": bad.number, "reason": bad.reason} for bad in result.bad],
        "seconds": round(seconds, 3),
        "events_per_second": round(result.events / seconds) if seconds else None,
        "segments": dict(sorted(result.segments.items())),
        "audiences": [
            {"audience": name, "outcome": outcome, "count": count}
            for (name, outcome), count in sorted(result.audiences.items())
        ],
        "emitted": _sorted(result.emitted),
        "commands": [
            {"kind": kind, "target": target, "count": count}
            for (kind, target), count in sorted(result.commands.items())
        ],
        "journeys": {name: _journey_values(result.journeys[name]) for name in shown},
    }


def _journey_values(report: JourneyReport) -> dict[str, Any]:
    return {
        "entered": report.entered,
        "held_out": report.held_out.passages,
        "global_holdout": report.left_alone.passages,
        "entered_by": _sorted(report.entered_by),
        "not_entered": _sorted(report.not_entered),
        "steps": {
            name: {
                "visits": step.visits,
                "outcomes": [
                    {"outcome": outcome, "next": to, "count": count}
                    for (outcome, to), count in sorted(step.outcomes.items())
                ],
                "left": step.left,
                "waiting": step.waiting,
            }
            for name, step in report.steps.items()
        },
        "exits": _sorted(report.exits),
        "sent": [
            {"channel": channel, "template": template, "count": count}
            for (channel, template), count in sorted(report.sent.items())
        ],
        "not_sent": _sorted(report.not_sent),
        "failures": _sorted(report.failures),
        "waiting_on": _sorted(report.waiting_on),
        "experiments": _experiment_values(report),
        "goal": {
            "treated": _arm_values(report.treated),
            "held_out": _arm_values(report.held_out),
            "global_holdout": _arm_values(report.left_alone),
        },
    }


def _experiment_values(report: JourneyReport) -> dict[str, dict[str, Any]]:
    values: dict[str, dict[str, Any]] = {}
    for (experiment, name), arm in sorted(report.experiments.items()):
        low, high = wilson(arm.converted, arm.passages)
        interval = {"confidence": CONFIDENCE, "low": round(low, 6), "high": round(high, 6)}
        values.setdefault(experiment, {})[name] = {**_arm_values(arm), "interval": interval}
    return values


def _arm_values(arm: ArmReport) -> dict[str, Any]:
    conversion = arm.conversion
    return {
        "passages": arm.passages,
        "converted": arm.converted,
        "conversion": None if conversion is None else round(conversion, 6),
        "value": str(arm.value),
    }


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _entries(report: JourneyReport) -> RenderableType:
    parts = [f"{report.entered:,} entered", f"{report.held_out.passages:,} held out"]
    if set(report.entered_by) - {"event"}:
        parts.append(f"let in by: {_reasons(report.entered_by)}")
    if report.not_entered:
        parts.append(f"not entered: {_reasons(report.not_entered)}")
    if report.waiting_on:
        parts.append(f"waited on: {_reasons(report.waiting_on)}")
    if report.failures:
        parts.append(f"failures: {_reasons(report.failures)}")
    return Text(", ".join(parts))


def _path(report: JourneyReport, journeys: JourneySet) -> Table:
    table = _table("step", "came", "went on", "left", "waiting", "of entries")
    steps = journeys.current[report.name].steps
    for name, step in report.steps.items():
        is_exit = isinstance(steps.get(name), Exit)
        gone_on = sum(step.outcomes.values())
        share = f"{step.visits / report.entered:.0%}" if report.entered else ""
        table.add_row(
            name, *_numbers(step.visits, gone_on, step.left, step.waiting), share, style="dim" if is_exit else ""
        )
        if len(step.outcomes) > 1:
            for (outcome, to), count in sorted(step.outcomes.items(), key=lambda item: (-item[1], item[0])):
                table.add_row(f"  {outcome} -> {to}" if outcome != to else f"  -> {to}", "", f"{count:,}", "", "", "")
    if report.exits:
        table.add_section()
        table.add_row(f"left because: {_reasons(report.exits)}")
    return table


def _sends(report: JourneyReport) -> Table:
    table = _table("message", "sent")
    for (channel, template), count in sorted(report.sent.items()):
        table.add_row(f"{channel} {template}", f"{count:,}")
    for reason, count in sorted(report.not_sent.items()):
        table.add_row(f"not sent: {reason}", f"{count:,}", style="dim")
    return table


def _segments(result: Simulation) -> Table:
    table = _table("segment", "customers at the end")
    for name, count in sorted(result.segments.items()):
        table.add_row(name, f"{count:,}")
    return table


def _commands(result: Simulation) -> Table:
    table = _table("command", "count")
    for (kind, target), count in sorted(result.commands.items()):
        table.add_row(f"{kind} {target}", f"{count:,}")
    for event_type, count in sorted(result.emitted.items()):
        table.add_row(f"event {event_type}", f"{count:,}")
    for (name, outcome), count in sorted(result.audiences.items()):
        table.add_row(f"audience {name}: {outcome}", f"{count:,}", style="dim")
    return table


def _goal(report: JourneyReport) -> Table:
    table = _table("goal", "passages", "reached", "conversion", "worth")
    arms = [("treated", report.treated), ("held out", report.held_out)]
    arms += [("global holdout", report.left_alone)] if report.left_alone.passages else []
    for name, arm in arms:
        conversion = arm.conversion
        shown = "" if conversion is None else f"{conversion:.2%}"
        table.add_row(name, f"{arm.passages:,}", f"{arm.converted:,}", shown, f"{arm.value:,}")
    return table


def _experiments(report: JourneyReport, journeys: JourneySet) -> Table:
    table = _table("experiment", "exposed", "reached", "conversion", f"{CONFIDENCE:.0%} interval", "worth")
    has_goal = journeys.current[report.name].goal is not None
    for (experiment, name), arm in sorted(report.experiments.items()):
        low, high = wilson(arm.converted, arm.passages)
        shown = [f"{arm.converted / arm.passages:.2%}", f"{low:.2%} to {high:.2%}"] if has_goal else ["", ""]
        table.add_row(f"{experiment}: {name}", f"{arm.passages:,}", f"{arm.converted:,}", *shown, f"{arm.value:,}")
    return table


def _totals(result: Simulation, seconds: float) -> str:
    sent = sum(sum(report.sent.values()) for report in result.journeys.values())
    parts = [f"{result.events:,} events of {result.customers:,} customers"]
    if result.skipped:
        parts.append(f"{result.skipped:,} that no journey asks for")
    if result.duplicates:
        parts.append(f"{result.duplicates:,} delivered again")
    if result.beyond:
        parts.append(f"{result.beyond:,} after the end")
    parts.append(f"{sent:,} messages")
    rate = f" ({(result.events + result.skipped) / seconds:,.0f} events/s)" if seconds else ""
    span = "" if result.first_ms is None else f", {_instant(result.first_ms)} to {_instant(result.until_ms)}"
    return f"{', '.join(parts)}{span}; took {seconds:.1f} s{rate}"


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right")
    return table


def _numbers(*counts: int) -> list[str]:
    return [f"{count:,}" if count else "" for count in counts]


def _reasons(counts: Counter[str]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(counts.items()))


def _instant(instant_ms: int | None) -> str | None:
    if instant_ms is None:
        return None
    return datetime.fromtimestamp(instant_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
