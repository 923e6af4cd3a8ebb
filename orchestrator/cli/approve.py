"""``orchestrator approve``: somebody's word for journeys as they are written now."""

from __future__ import annotations

from collections.abc import Sequence

import click

from orchestrator.authoring.approvals import (
    SUBJECT_OF_RULES,
    about_environment,
    about_journey,
    content_words,
    journey_content,
    move_version,
    rules_version,
)
from orchestrator.authoring.changes import side_of
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
"""


@click.command("approve", epilog=EXAMPLES, short_help="Approve of journeys as they are written now.")
@click.argument("names", metavar="[JOURNEY]...", nargs=-1)
@with_author()
@click.option("--rules", is_flag=True, help="Approve of the rules for all journeys: policies, channels, profile, ...")
@click.option(
    "--move-environment", "target", metavar="NAME", help="Approve that the environment becomes NAME from now on."
)
@click.option("--withdraw", is_flag=True, help="Take the approval back.")
@with_settings("bootstrap_servers", "registry_url", "app_id", "topic_prefix", "journeys", "schemas", "environment")
def command(
    *,
    names: Sequence[str],
    who: str,
    why: str,
    rules: bool,
    target: str | None,
    withdraw: bool,
    settings: Settings,
) -> int:
    """Put on record that you approve of these JOURNEYs, as they are written in the directory of --journeys now.

    What is approved is the content, by its version and by how it moves those who are inside (`migrate`, `resume`): a
    journey that changes afterwards needs another approval. Whose approval is needed, governance.yaml says; whether
    anything is missing, `orchestrator plan` does. Names are taken at their word: who may write to the audit topic has
    to be restricted at the broker.
    """
    from orchestrator.runtime.audit import append_audit, encoder, new_record  # noqa: PLC0415  (loads the Kafka client)
    from orchestrator.runtime.publishing import APPROVE, WITHDRAW  # noqa: PLC0415

    if not names and not rules and not target:
        raise click.UsageError("say what to approve of: journeys by name, --rules, or --move-environment")
    compiled = compiled_journeys(settings.journeys, settings.schemas, "text")
    if compiled is None:
        return 1
    current = compiled.journeys.current
    for name in names:
        if name not in current:
            hint = did_you_mean(name, current)
            raise click.UsageError(f'there is no journey "{name}" in {settings.journeys}; {hint}')
    side = side_of(compiled.sources.files, compiled.event_types)
    subjects = []
    for name in dict.fromkeys(names):
        version, content = current[name].version, journey_content(side, name)
        subjects.append((name, about_journey(name), content, content_words(version, content)))
    if rules:
        version = rules_version(compiled.sources.files)
        subjects.append(("", SUBJECT_OF_RULES, version, f"version {version}"))
    if target:
        before = settings.environment
        version = move_version(compiled.sources.files, before, target)
        subjects.append(("", about_environment(target), version, f"{before} -> {target}, version {version}"))
    encode = encoder(settings)
    act = WITHDRAW if withdraw else APPROVE
    for name, about, version, words in subjects:
        record = new_record(settings, act=act, about=about, who=who, why=why, journey=name, version=version)
        append_audit(settings, record, encode)
        verb = "takes back the approval" if withdraw else "approves"
        click.echo(f"{who} {verb} of {about}, {words}")
    return 0
