"""Each command without each of its rights: it names the right and the command that grants it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.runtime.grants import Right
from tests.runtime.secured.shop import PREFIX, WHO, Shop, become

pytestmark = pytest.mark.broker

EVENT = {
    "type": "page_viewed",
    "event_id": "e2",
    "customer_id": "berta",
    "occurred_at": "2023-11-14T22:13:20Z",
    "page": "/",
}
DEFINITIONS, AUDIT = f"{PREFIX}journeys.definitions", f"{PREFIX}orchestrator.audit"
CHANGELOG, APPROVALS = f"{PREFIX}app-customers-changelog", f"{PREFIX}orchestrator.approvals"
JOURNAL, TRANSITIONS = f"{PREFIX}journeys.journal", f"{PREFIX}journeys.transitions"
DEAD, EVENTS, PROFILE = f"{PREFIX}journeys.dead-letters", f"{PREFIX}events.web", f"{PREFIX}events.profile"
TRANSACTIONS = f"Write transactional-id {PREFIX}app-audit-*"
READERS = "Describe group orchestrator-reader"
ERASE = ("erase", "nobody", "--requested-by", "p", "--why", "asked", "--yes", "--timeout", "1")
WORK: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    ("producer", ("produce", "--events", "EVENTS"), (f"Write topic {EVENTS}",)),
    ("author", ("plan",), (f"Read topic {DEFINITIONS}", f"Read topic {CHANGELOG}", READERS)),
    ("author", ("graph", "welcome_series", "--live"), (f"Read topic {CHANGELOG}",)),
    ("author", ("versions",), (f"Read topic {DEFINITIONS}",)),
    (
        "approver",
        ("approve", "welcome_series", *WHO),
        (f"Write topic {APPROVALS}", f"Write topic {AUDIT}", TRANSACTIONS),
    ),
    ("approver", ("approve", "welcome_series", "--removal", *WHO), (f"Read topic {DEFINITIONS}",)),
    (
        "operator",
        ("topics", "check"),
        (f"Describe topic {TRANSITIONS}", f"DescribeConfigs topic {EVENTS}", f"DescribeConfigs topic {CHANGELOG}"),
    ),
    ("operator", ("apply", *WHO), (f"Describe topic {TRANSITIONS}", f"Read topic {CHANGELOG}")),
    (
        "operator",
        ("pause", "welcome_series", *WHO),
        (f"Write topic {DEFINITIONS}", TRANSACTIONS),
    ),
    (
        "operator",
        ("rebuild", "--look"),
        (f"Read topic {JOURNAL}", f"Read topic {DEFINITIONS}"),
    ),
    ("operator", ("dead-letters", "list"), (f"Read topic {DEAD}",)),
    ("operator", ("audit",), (f"Read topic {AUDIT}",)),
    ("support", ("tail", "events.web", "--from-beginning", "--no-follow"), (f"Read topic {EVENTS}",)),
    (
        "support",
        ("explain", "anna"),
        (f"Read topic {TRANSITIONS}", f"Read topic {CHANGELOG}"),
    ),
    (
        "support",
        ("export", "anna"),
        (f"Read topic {DEAD}", f"Write topic {AUDIT}"),
    ),
    ("support", ("replay",), (f"Read topic {JOURNAL}", f"Read topic {DEFINITIONS}")),
    ("privacy", ERASE, (f"Write topic {PROFILE}", f"Read topic {CHANGELOG}")),
]
"""Who does what, and rights without one of which it cannot be done."""


@pytest.mark.parametrize(
    ("role", "command", "needed"), WORK, ids=[f"{role} {' '.join(command[:2])}" for role, command, _ in WORK]
)
def test_a_command_without_one_of_its_rights_names_it_and_how_to_grant_it(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    role: str,
    command: tuple[str, ...],
    needed: tuple[str, ...],
) -> None:
    events = tmp_path / "events.jsonl"
    events.write_text(json.dumps(EVENT))
    arguments = [str(events) if part == "EVENTS" else part for part in command]
    become(shop, role, monkeypatch)
    rights = {str(right): right for right in shop.rights(role)}
    unnoticed = []
    for name in needed:
        right = rights[name]
        shop.secured.revoke(role, right)
        capsys.readouterr()
        try:
            code = run(arguments)
        finally:
            shop.secured.grant(role, [right])
        said = capsys.readouterr().err
        if code != 3 or _expected(role, right) not in said or _grant(role, right) not in said or "Traceback" in said:
            unnoticed.append((name, code, said))
    assert unnoticed == []


def _expected(role: str, right: Right) -> str:
    return f"User:{role} has not the right to {right}"


def _grant(role: str, right: Right) -> str:
    pattern = " --resource-pattern-type prefixed" * right.is_prefix
    return f"'User:{role}' --operation {right.operation} --{right.resource} '{right.name}'{pattern}"
