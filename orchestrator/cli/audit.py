"""``orchestrator audit``: what people and programs did to the installation."""

from __future__ import annotations

import json

import click
import msgspec

from orchestrator.cli._settings import with_settings
from orchestrator.cli._since import since
from orchestrator.runtime.audit import AuditRecord, read_audit
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.tail import iso_instant

EXAMPLES = """\b
Examples:
  orchestrator audit --since "7 days"
  orchestrator audit --about journey/welcome_series
  orchestrator audit --act erase --format json
"""


@click.command("audit", epilog=EXAMPLES, short_help="Show who did what, and why.")
@click.option("--since", "since_ms", callback=since, metavar="TIME", help="Only from this time, or duration ago, on.")
@click.option("--about", metavar="TEXT", help="Only what is about this, or about what begins with it.")
@click.option("--act", "acts", multiple=True, metavar="WORD", help="Only this kind of act; may be repeated.")
@click.option("--follow", is_flag=True, help="Go on with what is done from now on.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people or programs.")
@with_settings("bootstrap_servers", "registry_url", "app_id", "topic_prefix")
def command(
    *, since_ms: int | None, about: str | None, acts: tuple[str, ...], follow: bool, form: str, settings: Settings
) -> int:
    """Show the audit log, the newest last: every act that changed what is in force, or what is held about customers.

    An act is `intended` before it is done, and then `done` or `failed`; where it is one transaction there is only
    `done`. `intended` without an end: the program was killed, and it may have been done. `refused`: nothing was done.
    """
    for record in read_audit(settings, follow=follow):
        if since_ms is not None and record.at_ms < since_ms:
            continue
        if about is not None and not record.about.startswith(about):
            continue
        if acts and record.act not in acts:
            continue
        click.echo(audit_json(record) if form == "json" else audit_text(record))
    return 0


def audit_json(record: AuditRecord) -> str:
    """The record as one line of JSON."""
    fields = msgspec.structs.asdict(record)
    return json.dumps({"at": iso_instant(fields.pop("at_ms")), **fields}, ensure_ascii=False)


def audit_text(record: AuditRecord) -> str:
    """The record for a person: a line, and one below it for each change and figure."""
    version = f" version {record.version[:8]}" if record.version else ""
    outcome = "" if record.outcome == "done" else f" ({record.outcome})"
    why = f": {record.why}" if record.why else ""
    where = f" in {record.environment}" if record.environment else ""
    lines = [f"{iso_instant(record.at_ms)}  {record.act} {record.about}{version}{outcome}{where}  by {record.who}{why}"]
    if record.set_id:
        lines.append(f"    journey set {record.set_id}")
    lines += [f"    {change}" for change in record.changes]
    lines += [f"    {name}: {value}" for name, value in sorted(record.detail.items())]
    return "\n".join(lines)
