"""``orchestrator versions``: what was published, who is inside, and what need not be kept any more."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import click

from orchestrator.authoring.durations import DurationProblem, parse_duration
from orchestrator.authoring.problem_text import count_words
from orchestrator.cli._author import with_author
from orchestrator.cli._plan import counting
from orchestrator.cli._settings import with_settings
from orchestrator.runtime.settings import Settings

EXAMPLES = """\b
Examples:
  orchestrator versions
  orchestrator versions --collect --who anna --why "spring cleaning"
"""


def _duration(context: click.Context, parameter: click.Parameter, text: str) -> int:
    found = parse_duration(text)
    if isinstance(found, DurationProblem):
        raise click.BadParameter(f'"{text}" is no duration, such as 7 days', context, parameter)
    return found


@click.command("versions", epilog=EXAMPLES, short_help="List published journeys; collect what nobody is inside of.")
@click.option("--collect", is_flag=True, help="Stop keeping the sets that nobody is inside of any more.")
@click.option(
    "--after",
    "after_ms",
    default="1 day",
    metavar="DURATION",
    callback=_duration,
    help="Collect only what was superseded so long ago, so that no worker can still let customers in.",
)
@with_author(needs_why=False)
@with_settings("bootstrap_servers", "registry_url", "app_id", "topic_prefix", "environment")
def command(*, collect: bool, after_ms: int, who: str, why: str, settings: Settings) -> int:
    """List the journey sets that were published, and which are kept because customers are inside their versions.

    With --collect those that nobody is inside of are not kept any more: workers that run or start later no longer load
    them. Their texts stay in the topic, so that a replay can still use them.
    """
    from orchestrator.runtime.access import brokers_of  # noqa: PLC0415
    from orchestrator.runtime.definitions import Definition, read_definitions  # noqa: PLC0415
    from orchestrator.runtime.in_force import Publications, collectable  # noqa: PLC0415  (these load the Kafka client)
    from orchestrator.runtime.places import count_places  # noqa: PLC0415
    from orchestrator.runtime.publishing import newest_offset, publish  # noqa: PLC0415
    from orchestrator.runtime.topics import topic_names  # noqa: PLC0415

    if collect and not why:
        raise click.UsageError("--collect needs --why")
    topic = topic_names(settings).definitions
    publications = Publications(read_definitions(brokers_of(settings), topic))
    if publications.newest is None:
        click.echo("nothing is published")
        return 0
    with counting() as progress:
        inside = count_places(settings, progress=progress).versions()
    now_ms = time.time_ns() // 1_000_000
    free = {one.offset for one in collectable(publications, inside, before_ms=now_ms - after_ms)}
    kept = publications.kept()
    for definition, journeys in kept:
        state = "in force" if definition is kept[-1][0] else "not needed" if definition.offset in free else "kept"
        at = datetime.fromtimestamp(definition.at_ms / 1000, UTC)
        when = f"{at:%Y-%m-%d %H:%M}" if definition.at_ms else "-"
        held = count_words(len(inside & journeys.versions.keys()), "version")
        said = f"{definition.who}: {definition.why}" if definition.who else ""
        click.echo(
            f"{definition.offset:>6}  {definition.set_id}  {when:<16}  {state:<10}  {held} with customers  {said}"
        )
    if collect and free:
        record = Definition("collected", {}, {}, who=who, why=why, at_ms=now_ms, forgets=tuple(sorted(free)))
        # By what was published meanwhile, somebody may be let into one of them again.
        publish(settings, record, act="collect", seen=newest_offset(publications.definitions))
    if collect:
        click.echo(f"{count_words(len(free), 'journey set')} collected")
    return 0
