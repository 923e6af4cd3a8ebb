"""``orchestrator erase``: a customer is forgotten."""

from __future__ import annotations

import time

import click

from orchestrator.cli._author import with_author
from orchestrator.cli._settings import with_settings
from orchestrator.runtime.audit import about_customer, audited
from orchestrator.runtime.privacy import erase_customer
from orchestrator.runtime.settings import Settings

EXAMPLES = """\b
Examples:
  orchestrator erase user_0042 --requested-by privacy-team --why "request 4711"
  orchestrator erase user_0042 --requested-by privacy-team --why "request 4711" --yes --timeout 120
"""


@click.command("erase", epilog=EXAMPLES, short_help="Forget a customer.")
@click.argument("customer")
@click.option("--requested-by", required=True, metavar="TEAM", help="Who asks for it: a team or role, not a person.")
@with_author()
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--timeout", default=30.0, show_default=True, help="Seconds to wait until a worker has done it.")
@with_settings(
    "bootstrap_servers",
    "registry_url",
    "app_id",
    "topic_prefix",
    "event_topics",
    "schemas",
    "environment",
    "audit_key_file",
)
def command(
    *, customer: str, requested_by: str, who: str, why: str, yes: bool, timeout: float, settings: Settings
) -> int:
    """Forget CUSTOMER: every passage ends, nothing that was due is sent any more, commands that are on their way are
    recalled, the customer is taken out of audiences elsewhere, and the record, its timers included, is deleted. It
    cannot be taken back.

    A worker does it when it comes to the request, an event in the customer's log, and sinks leave undone what they have
    not delivered by then. What event and action topics hold goes with their retention; what was delivered is with those
    who have it. Exits with 1 if no worker did it in time:
    the request stands all the same. The audit log says that it was done and why, without the customer's id: do not put
    it into --why.
    """
    if not yes:
        click.confirm(f"forget {customer} for ever?", abort=True)
    about = about_customer(settings, customer)
    with audited(settings, act="erase", about=about, who=who, why=why, detail={"requested_by": requested_by}) as act:
        is_done = erase_customer(settings, customer, requested_by=requested_by, timeout_s=timeout, wait=time.sleep)
        act.detail["forgotten"] = "yes" if is_done else "requested"
    if is_done:
        click.echo(f"{customer} is forgotten; sinks carry out none of the commands that they had not come to")
        click.echo("what they delivered before, or wrote to tables and files, has to be forgotten there")
        return 0
    click.echo(f"the request stands, but no worker has come to it in {timeout:g} s", err=True)
    return 1
