"""What each command does on the brokers, so that one that was refused something can say which right is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.access import brokers_of
from orchestrator.runtime.brokers import READERS
from orchestrator.runtime.grants import (
    DESCRIBE,
    DESCRIBE_CONFIGS,
    GROUP,
    READ,
    TOPIC,
    WRITE,
    Right,
    denied,
)
from orchestrator.runtime.roles import EXPLAIN_S, TOPICS, audit_transactions, kind_of, missing_rights
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import topic_names, topic_specs

BOTH = f"{READ} {WRITE}"
SHOWN = frozenset(TOPICS) - {"audit", "approvals", "recalls"}
SWITCHING = {"definitions": BOTH, "changelog": READ, "audit": WRITE}

COMMANDS: Mapping[str, Mapping[str, str]] = {
    "produce": {"events": WRITE},
    "ingest": {"events": WRITE},
    "plan": {"definitions": READ, "changelog": READ, "approvals": READ},
    "graph": {"changelog": READ},
    "versions": SWITCHING,
    "approve": {"approvals": WRITE, "audit": WRITE, "definitions": READ},
    "topics": {},
    "apply": {**SWITCHING, "approvals": READ},
    "pause": SWITCHING,
    "resume": SWITCHING,
    "rebuild": {"events": BOTH, "journal": READ, "definitions": READ, "audit": WRITE},
    "dead-letters": {"dead_letters": READ, "sinks": READ, "events": WRITE, "actions": WRITE, "audit": WRITE},
    "audit": {"audit": READ},
    "tail": {**dict.fromkeys(SHOWN, READ), "audit": WRITE},
    "explain": {"transitions": READ, "changelog": READ, "definitions": READ, "audit": WRITE},
    "export": {
        **dict.fromkeys(("events", "actions", "transitions", "dead_letters", "changelog", "sinks"), READ),
        "audit": WRITE,
    },
    "replay": {
        **dict.fromkeys(("events", "actions", "transitions", "journal", "definitions"), READ),
        "audit": WRITE,
    },
    "erase": {"events": WRITE, "changelog": READ, "audit": WRITE},
}
"""Command → kind of topic (as in `TOPICS`) → what it does there, with all its options."""

CHECKING = frozenset({"topics", "apply"})
"""Commands that compare all topics with what they must be."""

_DENIED = ("uthorization failed", "AUTHORIZATION_FAILED", "may not do this")
_UNSEEN = ("may not see it", "does not exist", "Unknown partition", "Unknown topic")
"""What is said, by brokers or by us, where somebody may not do something, and where it may be that somebody may not
even know of it."""


def command_rights(command: str, settings: Settings, channels: Iterable[str] = ()) -> Iterator[Right]:
    """What the command needs, as far as brokers can be asked for it; with `channels` also for their topics."""
    names, does = topic_names(settings), COMMANDS.get(command, {})
    for spec in topic_specs(settings, channels):
        operations = does.get(kind_of(spec.name, names), "").split()
        if command in CHECKING:
            # Whoever reads or writes may see that it is there.
            operations += [*([] if operations else [DESCRIBE]), *([DESCRIBE_CONFIGS] if spec.config else [])]
        for operation in operations:
            yield Right(TOPIC, spec.name, is_prefix=False, operation=operation)
    if READ in " ".join(does.values()).split():
        yield Right(GROUP, READERS, is_prefix=False, operation=DESCRIBE)


def explained_problem(problem: EnvironmentProblem, command: str, settings: Settings) -> EnvironmentProblem:
    """The problem; in its place the rights that are missing, where that is what it is about.

    Only brokers that know who asks refuse anything. They are asked, but not for long.
    """
    said = " ".join(_said(problem))
    is_denied = any(sign in said for sign in _DENIED)
    if not (is_denied or any(sign in said for sign in _UNSEEN)):
        return problem
    brokers = brokers_of(settings)
    if brokers.principal == "User:ANONYMOUS" or command not in COMMANDS:
        return problem
    if "ransactional Id authorization failed" in said or "TRANSACTIONAL_ID_AUTHORIZATION" in said:
        # The only right of which brokers do not tell who has it.
        lacking = [audit_transactions(settings)]
        with suppress(EnvironmentProblem):
            lacking += missing_rights(brokers, command_rights(command, settings), timeout_s=EXPLAIN_S)
        return denied(brokers, lacking)
    with suppress(EnvironmentProblem):
        missing = missing_rights(brokers, command_rights(command, settings), timeout_s=EXPLAIN_S)
        # A command can do more than it was asked for now. What it could not do is mostly named, if without its prefix.
        named = [right for right in missing if right.name.removeprefix(settings.topic_prefix) in said]
        if named or (missing and is_denied):
            return denied(brokers, named or missing)
    return problem


def require_right(settings: Settings, topics: Iterable[str], operation: str = DESCRIBE) -> None:
    """Raises: EnvironmentProblem if this process may not do this with one of these topics. Brokers hide what it may not
    even see, as if it were not there.
    """
    brokers = brokers_of(settings)
    wanted = [Right(TOPIC, name, is_prefix=False, operation=operation) for name in topics]
    if wanted and brokers.principal != "User:ANONYMOUS" and (missing := missing_rights(brokers, wanted)):
        raise denied(brokers, missing)


def _said(problem: BaseException | None) -> Iterator[str]:
    while problem is not None:
        yield str(problem)
        problem = problem.__cause__ or problem.__context__
