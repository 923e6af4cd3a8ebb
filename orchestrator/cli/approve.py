"""``orchestrator approve``: somebody's word for journeys as they are written now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import click

from orchestrator.authoring.approvals import (
    SUBJECT_OF_RULES,
    about_environment,
    about_journey,
    content_words,
    journey_content,
    move_version,
    removal_content,
    rules_version,
)
from orchestrator.authoring.changes import side_of
from orchestrator.authoring.problem_text import count_words
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.cli._author import with_author
from orchestrator.cli._journeys import compiled_journeys
from orchestrator.cli._settings import with_settings
from orchestrator.runtime.settings import Settings

EXAMPLES = """\b
Examples:
  orchestrator approve welcome_series --who cora@shop.example --why "texts are checked"
  orchestrator approve --rules --who ben@shop.example --why "caps as agreed" --journeys my_journeys
  orchestrator approve welcome_series --withdraw --why "the offer has ended"
  orchestrator approve spring_sale --removal --why "spring is over"
"""


@click.command("approve", epilog=EXAMPLES, short_help="Approve of journeys as they are written now.")
@click.argument("names", metavar="[JOURNEY]...", nargs=-1)
@with_author()
@click.option("--rules", is_flag=True, help="Approve of the rules for all journeys: policies, channels, profile, ...")
@click.option(
    "--move-environment", "target", metavar="NAME", help="Approve that the environment becomes NAME from now on."
)
@click.option(
    "--removal", is_flag=True, help="Approve that the JOURNEYs, as they are in force now, are taken out of what is."
)
@click.option("--withdraw", is_flag=True, help="Take the approval back.")
@click.option(
    "--carry-over",
    "carries_over",
    is_flag=True,
    help="Once, after an upgrade: list the approvals that earlier releases left in the audit log, and take them over "
    "with --yes.",
)
@click.option("--yes", is_flag=True, help="With --carry-over: take over what is listed.")
@with_settings("bootstrap_servers", "registry_url", "app_id", "topic_prefix", "journeys", "schemas", "environment")
def command(
    *,
    names: Sequence[str],
    who: str,
    why: str,
    rules: bool,
    target: str | None,
    removal: bool,
    withdraw: bool,
    carries_over: bool,
    yes: bool,
    settings: Settings,
) -> int:
    """Put on record that you approve of these JOURNEYs, as they are written in the directory of --journeys now.

    What is approved is the content, by its version and by how it moves those who are inside (`migrate`, `resume`): a
    journey that changes afterwards needs another approval. Whose approval is needed, governance.yaml says; whether
    anything is missing, `orchestrator plan` does. All that is named is approved of together, or nothing. Names are
    taken at their word: who may write to the topic of approvals has to be restricted at the broker.
    """
    from orchestrator.runtime.approved import APPROVE, WITHDRAW, approve  # noqa: PLC0415  (these load the client)
    from orchestrator.runtime.audit import new_record  # noqa: PLC0415

    if carries_over:
        return _carry_over(settings, who=who, why=why, yes=yes)
    if not names and not rules and not target:
        raise click.UsageError("say what to approve of: journeys by name, --rules, or --move-environment")
    subjects: list[_Subject] = []
    if removal:
        subjects += _removals(settings, names)
    if rules or target or not removal:
        found = _as_written(settings, () if removal else names, target, rules=rules)
        if found is None:
            return 1
        subjects += found
    act = WITHDRAW if withdraw else APPROVE
    records = [
        new_record(settings, act=act, about=one.about, who=who, why=why, journey=one.journey, version=one.content)
        for one in subjects
    ]
    approve(settings, records)
    verb = "takes back the approval" if withdraw else "approves"
    for one in subjects:
        click.echo(f"{who} {verb} of {one.about}, {one.words}")
    return 0


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is approved of: which content, and how it is told. `journey` is its name, "" if it is none."""

    journey: str
    about: str
    content: str
    words: str


def _as_written(settings: Settings, names: Sequence[str], target: str | None, *, rules: bool) -> list[_Subject] | None:
    """The subjects as the directory has them; None if its journeys have errors, which are shown."""
    compiled = compiled_journeys(settings.journeys, settings.schemas, "text")
    if compiled is None:
        return None
    current = compiled.journeys.current
    _require_known(names, current, f"in {settings.journeys}", "if it was taken out: --removal")
    side = side_of(compiled.sources.files, compiled.event_types)
    subjects = []
    for name in dict.fromkeys(names):
        content = journey_content(side, name)
        subjects.append(_Subject(name, about_journey(name), content, content_words(current[name].version, content)))
    if rules:
        version = rules_version(compiled.sources.files)
        subjects.append(_Subject("", SUBJECT_OF_RULES, version, f"version {version}"))
    if target:
        before = settings.environment
        version = move_version(compiled.sources.files, before, target)
        words = f"{before} -> {target}, version {version}"
        subjects.append(_Subject("", about_environment(target), version, words))
    return subjects


def _removals(settings: Settings, names: Sequence[str]) -> list[_Subject]:
    """The removals of these journeys as they are in force."""
    from orchestrator.runtime.publishing import standing  # noqa: PLC0415  (loads the Kafka client)

    if not names:
        raise click.UsageError("say whose --removal to approve of: journeys by name")
    side = standing(settings).side
    _require_known(names, side.drafts, "in force", "")
    return [
        _Subject(
            name,
            about_journey(name),
            removal_content(side, name),
            f"its removal, version {side.version(name)[:8]}",
        )
        for name in dict.fromkeys(names)
    ]


def _require_known(names: Sequence[str], known: Iterable[str], where: str, hint: str) -> None:
    for name in names:
        if name not in known:
            hints = "; ".join(filter(None, (did_you_mean(name, known), hint)))
            raise click.UsageError(f'there is no journey "{name}" {where}{f"; {hints}" if hints else ""}')


def _carry_over(settings: Settings, *, who: str, why: str, yes: bool) -> int:
    """Lists what earlier releases left in the audit log, and takes it over where it was said."""
    from orchestrator.runtime.approved import carry_over, has_approvals, words_of_the_log  # noqa: PLC0415
    from orchestrator.runtime.command_rights import require_right  # noqa: PLC0415
    from orchestrator.runtime.grants import READ  # noqa: PLC0415
    from orchestrator.runtime.topics import topic_names  # noqa: PLC0415

    # Whoever may write to the audit log could add to it for ever; so it counts once, before this topic is in use.
    if has_approvals(settings):
        click.echo(
            "approvals were given here already, so those of the audit log count no more: approve again", err=True
        )
        return 1
    # The role has no right to it, because this is done once.
    require_right(settings, [topic_names(settings).audit], READ)
    words = words_of_the_log(settings)
    for word in words:
        when = datetime.fromtimestamp(word.at_ms / 1000, UTC)
        click.echo(
            f"{when:%Y-%m-%d %H:%M}  {word.who} approves of {word.about}, version {word.version[:8]}: {word.why}"
        )
    if not words:
        click.echo("there are no approvals in the audit log")
    elif yes:
        carry_over(settings, words, who=who, why=why)
        click.echo(f"{count_words(len(words), 'approval')} taken over by {who}")
    else:
        click.echo(f"{count_words(len(words), 'approval')} would be taken over; are they genuine? then give --yes")
    return 0
