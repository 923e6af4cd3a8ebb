"""The demo's closing report: funnels, sample actions, one customer's way, and where to look further."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from orchestrator.demo.picture import Arm, Funnel, Picture, funnel, telling_customer
from orchestrator.model.actions import Transition
from orchestrator.model.journey import Journey
from orchestrator.runtime.tail import iso_instant

BAR_WIDTH = 24
TEXT_SHOWN = 80


@dataclass(frozen=True, slots=True)
class Places:
    """Where what ran can be looked at. `is_kept` says whether it is still there when the report is read."""

    bootstrap_servers: str
    registry_url: str
    metrics_urls: tuple[str, ...]
    data_dir: Path
    is_kept: bool


def print_report(console: Console, picture: Picture, journeys: Sequence[Journey], places: Places) -> None:
    """Prints everything that the demo has to show at its end."""
    for journey in journeys:
        print_funnel(console, funnel(journey, picture.transitions))
    _print_actions(console, picture)
    customer = telling_customer(picture.transitions)
    if customer is not None:
        print_customer(console, customer, picture.transitions)
    _print_places(console, places, customer)


def print_funnel(console: Console, outcome: Funnel) -> None:
    """One journey: how many passages came to each step, how they ended, and what the goal says about it."""
    entered = outcome.treated.passages
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("step")
    table.add_column("passages", justify="right")
    table.add_column("of entered", justify="right")
    table.add_column()
    rows = [("entered", entered)] + [(step.step, step.passages) for step in outcome.steps]
    for name, count in rows:
        share = count / entered if entered else 0.0
        bar = "█" * round(share * BAR_WIDTH)
        table.add_row(name, f"{count:,}", f"{share:.1%}", bar, style="" if count else "dim")
    console.print()
    console.print(f"{outcome.journey} - {outcome.title}", style="bold", highlight=False, markup=False)
    console.print(table)
    ends = ", ".join(f"{reason} {count:,}" for reason, count in outcome.exits.items())
    console.print(f"ended: {ends or 'none'}", highlight=False)
    console.print(f"goal:  treated {_arm(outcome.treated)}", highlight=False)
    if outcome.held_out.passages:
        console.print(f"       held out {_arm(outcome.held_out)}", highlight=False)


def print_customer(console: Console, customer: str, transitions: Sequence[Transition]) -> None:
    """Every decision about one customer, in the order in which they were made."""
    console.print()
    console.print(f"[bold]the way of {customer}[/bold] (times are UTC)", highlight=False)
    # Stable: decisions at the same time stay in the order of the topic.
    for told in sorted((t for t in transitions if t.customer_id == customer), key=lambda t: t.at_ms):
        at = iso_instant(told.at_ms)[:16].replace("T", " ")
        console.print(f"{at}  {told.journey}: {_told(told)}", highlight=False, soft_wrap=True, markup=False)


def _told(told: Transition) -> str:
    match told.kind:
        case "entered":
            return f"entered, begins with {told.to}"
        case "held_out":
            return "held out: in the control group"
        case "not_entered":
            return f"not entered ({told.reason})"
        case "step":
            # A step that sends says on which channel.
            outcome = f"{told.reason}, {told.value}" if told.action_id and told.value else told.reason
            return f"{told.step} -> {told.to} ({outcome})"
        case "goal":
            return f"reached the goal, worth {told.value or 'nothing'} ({told.reason})"
        case "exited":
            return f"left at {told.step} ({told.reason})"
        case _:
            return f"{told.kind} at {told.step} ({told.reason})"


def _arm(arm: Arm) -> str:
    if arm.conversion is None:
        return "nobody"
    worth = f", worth {arm.value:,.2f}" if arm.value else ""
    return f"{arm.converted:,} of {arm.passages:,} ({arm.conversion:.1%}){worth}"


def _print_actions(console: Console, picture: Picture) -> None:
    total = sum(picture.actions.values())
    console.print()
    console.print(f"[bold]{total:,} action commands[/bold], one of each channel:", highlight=False)
    for channel, sample in sorted(picture.samples.items()):
        console.print(f"[bold]{channel}[/bold] ({picture.actions[channel]:,})", highlight=False)
        console.print(json.dumps(_shortened(sample), ensure_ascii=False), highlight=False, soft_wrap=True, markup=False)
    if picture.not_sent:
        kept = ", ".join(f"{reason} {count:,}" for reason, count in picture.not_sent.most_common())
        console.print(f"not sent: {kept}", highlight=False)
    if picture.dead_letters:
        console.print(f"dead letters: {picture.dead_letters:,}", highlight=False)


def _shortened(action: Mapping[str, Any]) -> dict[str, Any]:
    """The action with only the beginning of long texts, which is enough to recognise them."""
    content = {
        part: text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}..."
        for part, text in action.get("content", {}).items()
        if text is not None
    }
    return {**action, "content": content}


def _print_places(console: Console, places: Places, customer: str | None) -> None:
    lines = ["", "[bold]look further[/bold]"]
    look = [
        f"export ORCHESTRATOR_BOOTSTRAP_SERVERS={places.bootstrap_servers}",
        f"export ORCHESTRATOR_REGISTRY_URL={places.registry_url}",
        "orchestrator tail actions.email --from-beginning --no-follow",
        f"orchestrator tail journeys.transitions --from-beginning --no-follow --customer {customer or 'ID'}",
    ]
    if places.is_kept:
        lines += look
        lines += [f"metrics: {url}" for url in places.metrics_urls]
        lines.append(f"logs and data: {places.data_dir}")
    else:
        lines.append("`orchestrator demo --keep` leaves broker, registry and workers running until Ctrl-C: then their")
        lines.append("metrics, topics and logs can be looked at with `orchestrator tail` and a browser.")
    for text in lines:
        console.print(text, highlight=False, soft_wrap=True)
