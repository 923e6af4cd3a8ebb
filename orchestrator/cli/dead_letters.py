"""``orchestrator dead-letters``: what workers and sinks could not use; looked at, and sent on its way again."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from orchestrator.cli._author import look, with_author
from orchestrator.cli._settings import with_settings
from orchestrator.cli._since import since
from orchestrator.runtime.access import brokers_of, registry_of
from orchestrator.runtime.audit import audited
from orchestrator.runtime.command_rights import require_right
from orchestrator.runtime.dead_letters import (
    EXPIRED,
    RECALLED,
    DeadLetter,
    Place,
    Replayer,
    dead_letter_topics,
    parse_place,
    read_dead_letters,
    read_one,
)
from orchestrator.runtime.grants import READ
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.tail import Decoder, iso_instant
from orchestrator.runtime.topics import topic_names

EXAMPLES = """\b
Examples:
  orchestrator dead-letters list --count
  orchestrator dead-letters list --reason http_404 --since "1 day"
  orchestrator dead-letters show sinks.webhook.dead-letters:0:17 --show-values
  orchestrator dead-letters replay --topic sinks.webhook.dead-letters --reason http_404 --why "the address is mended"
"""
COMMANDS = ("list", "show", "replay")


def _selected(function: Callable[..., Any]) -> Callable[..., Any]:
    for decorate in reversed(
        (
            click.option("--topic", "topics", multiple=True, help="Only this dead-letter topic; may be repeated."),
            click.option("--reason", "reasons", multiple=True, help="Only this reason; may be repeated."),
            click.option(
                "--since",
                "since_ms",
                metavar="TIME",
                callback=since,
                help="Only what was refused from this time on: ISO 8601, or a duration before now.",
            ),
        )
    ):
        function = decorate(function)
    return function


@click.group("dead-letters", epilog=EXAMPLES, short_help="Look at records that were refused, and replay them.")
@click.pass_context
def command(context: click.Context) -> None:
    """Look at records that workers and sinks could not use, and replay them.

    They are in the topics whose names end in .dead-letters, with their reason. ID is TOPIC:PARTITION:OFFSET, as `list`
    prints it. Output is JSON Lines; what a record holds is shown only with --show-values.
    """
    context.default_map = dict.fromkeys(COMMANDS, context.default_map or {})


@command.command("list", epilog="Example: orchestrator dead-letters list --reason expired --max 20")
@_selected
@click.option("--max", "records_max", type=click.IntRange(1), default=100, show_default=True, help="Most to show.")
@click.option("--count", is_flag=True, help="Only how many there are, by topic and reason.")
@with_settings("bootstrap_servers", "topic_prefix")
def list_command(
    *,
    topics: Sequence[str],
    reasons: Sequence[str],
    since_ms: int | None,
    records_max: int,
    count: bool,
    settings: Settings,
) -> int:
    """List dead letters. Exits with 1 if there are any, so that a script can ask."""
    letters = _letters(settings, topics, reasons, since_ms)
    if count:
        counts = Counter((letter.place.topic, letter.reason) for letter in letters)
        for (topic, reason), number in sorted(counts.items()):
            click.echo(json.dumps({"topic": topic, "reason": reason, "count": number}))
        return 1 if counts else 0
    shown = 0
    for letter in letters:
        if shown == records_max:
            click.echo(f"there are more; --max shows more than {records_max}", err=True)
            break
        click.echo(json.dumps(_as_json(letter), ensure_ascii=False))
        shown += 1
    return 1 if shown else 0


@command.command("show", epilog="Example: orchestrator dead-letters show journeys.dead-letters:2:41 --show-values")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--show-values", is_flag=True, help="Show what the records and their headers hold, personal data too.")
@with_author(needs_why=False)
@with_settings("bootstrap_servers", "registry_url", "topic_prefix", "environment")
def show(*, ids: Sequence[str], show_values: bool, who: str, why: str, settings: Settings) -> int:
    """Show single dead letters, with headers and, if asked for, values. Who has values shown is in the
    audit log. Exits with 1 if one is not there.
    """
    if show_values:
        look(settings, "dead-letters", who=who, why=why, command="dead-letters show", ids=", ".join(ids))
    decoder = Decoder(registry_of(settings).schema_text, show_personal_data=True)
    missing = False
    for place in _places(ids):
        letter = read_one(brokers_of(settings), place)
        if letter is None:
            click.echo(f"there is no dead letter {place}", err=True)
            missing = True
            continue
        shown = _as_json(letter)
        shown["bytes"] = None if letter.value is None else len(letter.value)
        shown["headers"] = {name: _text(value) if show_values else "***" for name, value in letter.headers}
        if show_values:
            record_type, shown["value"], note = decoder.decode(letter.value)
            shown |= {"type": record_type} if record_type else {"note": note}
        click.echo(json.dumps(shown, ensure_ascii=False))
    return 1 if missing else 0


@command.command("replay", epilog="Example: orchestrator dead-letters replay --reason http_401 --why mended --yes")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_selected
@click.option("--max", "records_max", type=click.IntRange(1), default=10_000, show_default=True, help="Most to replay.")
@with_author()
@click.option("--yes", is_flag=True, help="Do not ask.")
@with_settings("bootstrap_servers", "registry_url", "topic_prefix", "environment")
def replay(
    *,
    ids: Sequence[str],
    topics: Sequence[str],
    reasons: Sequence[str],
    since_ms: int | None,
    records_max: int,
    who: str,
    why: str,
    yes: bool,
    settings: Settings,
) -> int:
    """Write dead letters back to the topics they came from: named ones, or those that the options select.

    Bytes and key are the same, and a header names the dead letter. Dead letters stay where they are; one that is
    replayed twice is dropped by its action id or its event id. Expired commands are left out unless --reason expired
    names them; of those that were recalled, because the customer was forgotten, nothing is there to go back. Exits with
    1 if some could not go back.
    """
    if not (ids or topics or reasons or since_ms is not None):
        raise click.UsageError("say what to replay: IDs, --topic, --reason or --since")
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("nobody is there to be asked; --yes replays without asking")
    chosen: list[DeadLetter] = []
    is_cut = False
    for letter in _named(settings, ids) if ids else _letters(settings, topics, reasons, since_ms):
        if letter.reason in {EXPIRED, RECALLED} and letter.reason not in reasons and not ids:
            continue
        if len(chosen) == records_max:
            is_cut = True
            break
        chosen.append(letter)
    targets = Counter(letter.source.topic if letter.source else "nowhere" for letter in chosen)
    summary = ", ".join(f"{number} to {topic}" for topic, number in sorted(targets.items()))
    if not chosen:
        click.echo("nothing to replay")
        return 0
    if not yes:
        click.confirm(f"replay {summary}?", abort=True)
    detail = {topic: str(number) for topic, number in sorted(targets.items())}
    with audited(settings, act="replay", about="dead-letters", who=who, why=why, detail=detail) as act:
        replayer = Replayer(brokers_of(settings), actions_prefix=f"{settings.topic_prefix}actions.")
        returned = sum(replayer.send(letter) for letter in chosen)
        replayer.finish()
        act.detail["replayed"] = str(returned)
    click.echo(f"replayed {returned} of {len(chosen)}: {summary}")
    if is_cut:
        click.echo(f"there are more; --max replays more than {records_max}", err=True)
    return 0 if returned == len(chosen) else 1


def _letters(
    settings: Settings, topics: Sequence[str], reasons: Sequence[str], since_ms: int | None
) -> Iterator[DeadLetter]:
    brokers, prefix = brokers_of(settings), settings.topic_prefix
    existing = dead_letter_topics(brokers, prefix)
    if not topics:
        # Brokers do not show what one may not read, and then it would seem that there is nothing.
        require_right(settings, {topic_names(settings).dead_letters} - set(existing), READ)
    names = [prefix + topic if prefix + topic in existing else topic for topic in topics] or existing
    return read_dead_letters(brokers, names, since_ms=since_ms, reasons=reasons)


def _named(settings: Settings, ids: Sequence[str]) -> Iterator[DeadLetter]:
    for place in _places(ids):
        letter = read_one(brokers_of(settings), place)
        if letter is None:
            raise click.ClickException(f"there is no dead letter {place}; nothing was replayed")
        yield letter


def _places(ids: Sequence[str]) -> list[Place]:
    places = []
    for text in ids:
        place = parse_place(text)
        if place is None:
            raise click.UsageError(f"{text} is not TOPIC:PARTITION:OFFSET")
        places.append(place)
    return places


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": str(letter.place),
        "at": iso_instant(letter.at_ms),
        "reason": letter.reason,
        "detail": letter.detail,
        "from": str(letter.source) if letter.source else None,
        "key": None if letter.key is None else _text(letter.key),
    }
    return {**shown, "connector": letter.connector} if letter.connector else shown


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode("utf-8", "replace")
