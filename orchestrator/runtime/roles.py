"""Who may do what on the brokers: for each role the rights that it needs and no more, and which of them it has not.

Topics are those of `topic_specs`, so a topic that is added there is in every list by itself once `TOPICS` says who
reads and writes it. What a right contains is the brokers' own rule: whoever reads or writes may describe.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from contextlib import suppress

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from orchestrator.model.journey import JourneySet
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.access import brokers_of
from orchestrator.runtime.brokers import READERS, TIMEOUT_S, Brokers
from orchestrator.runtime.grants import (
    CREATE,
    DESCRIBE,
    DESCRIBE_CONFIGS,
    GROUP,
    READ,
    TOPIC,
    TRANSACTIONAL_ID,
    WRITE,
    Right,
    denied,
    is_denied,
)
from orchestrator.runtime.ports import TransactionFailed
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import TopicNames, topic_names, topic_specs

ROLES = {
    "worker": "Decides: reads events, writes commands, keeps customer records. `orchestrator worker`.",
    "producer": "Publishes events. `orchestrator produce`, `ingest`, and every service that publishes by itself.",
    "sinks": "Delivers commands: Kafka Connect with the connectors of deploy/connect.",
    "author": "Sees what is in force and who is where. `orchestrator plan`, `versions`, `graph --live`.",
    "approver": "Approves journeys. `orchestrator approve`.",
    "operator": "Makes topics, brings journeys into force, gives new aggregates the past, puts back what was refused, "
    "sees who did what. `orchestrator topics`, `apply`, `pause`, `resume`, `rebuild`, `versions --collect`, "
    "`dead-letters`, `audit`, `connect`.",
    "support": "Sees what happened to a customer, and personal data with it. `orchestrator tail`, `explain`, `export`, "
    "`replay`.",
    "privacy": "Lets customers be forgotten. `orchestrator erase`.",
}
"""Role → what it does and with which commands."""

TOPICS: Mapping[str, Mapping[str, str]] = {
    "events": {
        "worker": READ,
        "producer": WRITE,
        "operator": "Read Write",
        "support": READ,
        "privacy": WRITE,
    },
    "actions": {"worker": WRITE, "sinks": READ, "operator": WRITE, "support": READ},
    "transitions": {"worker": WRITE, "support": READ},
    "journal": {"worker": WRITE, "operator": READ, "support": READ},
    "dead_letters": {"worker": WRITE, "operator": READ, "support": READ},
    # Whoever reads it and guesses an id can tell whether that customer was erased, so it is for sinks alone.
    "recalls": {"worker": WRITE, "sinks": READ},
    "definitions": {"worker": READ, "author": READ, "approver": READ, "operator": "Read Write", "support": READ},
    "changelog": {"worker": "Read Write", "author": READ, "operator": READ, "support": READ, "privacy": READ},
    "audit": {"approver": WRITE, "operator": "Read Write", "support": WRITE, "privacy": WRITE},
    # Whoever writes here approves, under any name: nobody does but who is there for it.
    "approvals": {"author": READ, "approver": WRITE, "operator": READ},
    "sinks": {"sinks": WRITE, "operator": READ, "support": READ},
}
"""Kind of topic (a field of `TopicNames`) → role → what it does there. `sinks` are the sinks' own, by their prefix."""

READING = frozenset({"worker", "author", "approver", "operator", "support", "privacy"})
"""Who reads topics with consumers that are in no group."""

PUBLISHING = frozenset({"approver", "operator"})
"""Whose acts are records, written in one transaction with their audit records."""

CHECKING = frozenset({"worker", "operator"})
"""Who compares all topics with what they must be."""

UNTOLD = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNSUPPORTED_VERSION,
        # A new cluster has nobody yet who knows groups: the first one who joins a group waits for that.
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
    }
)
"""Answers after which it cannot be known who may do what."""

EXPLAIN_S = 3.0
"""A process that ends does not wait longer for a better reason."""

CONNECT_TOPICS = ("connect.configs", "connect.offsets", "connect.status")
CONNECT_GROUP, SINK_GROUPS = "connect", "connect-"
"""As in deploy/compose/connect.properties; the group of a connector is named after it, with this prefix."""


def rights_of(
    role: str, settings: Settings, *, channels: Iterable[str], emits: Iterable[str] = ()
) -> tuple[Right, ...]:
    """What the role needs, sorted; `channels` and `emits` are what the journeys send and the topics they emit to."""
    found = {right: right for right in _topic_rights(role, settings, channels)}
    more: list[Right] = []
    if role == "worker":
        more = _worker_rights(settings, emits)
    elif role == "sinks":
        more = _connect_rights()
    elif role in PUBLISHING:
        more = [audit_transactions(settings, act="approve" if role == "approver" else "publish")]
    if role in READING:
        more.append(Right(GROUP, READERS, is_prefix=False, operation=DESCRIBE, why="the client asks for it"))
    for right in more:
        found.setdefault(right, right)
    return tuple(sorted(found))


def audit_transactions(settings: Settings, *, act: str = "publish") -> Right:
    """The right to write something in one transaction with its audit record."""
    name, why = f"{settings.app_id}-audit-", f"{act}, and put it on record at once"
    return Right(TRANSACTIONAL_ID, name, is_prefix=True, operation=WRITE, why=why)


def worker_rights(settings: Settings, journeys: JourneySet | None = None) -> tuple[Right, ...]:
    """What a worker needs for these journeys; without them what it needs for any."""
    if journeys is None:
        return rights_of("worker", settings, channels=())
    return rights_of("worker", settings, channels=journeys.destinations, emits=journeys.emits.values())


def kind_of(topic: str, names: TopicNames) -> str:
    """Which of the installation's topics it is: a field of `TopicNames`; "" if it is none of them."""
    if topic.startswith(names.actions_prefix):
        return "actions"
    for one in dataclasses.fields(names):
        value = getattr(names, one.name)
        if topic == value or (isinstance(value, tuple) and topic in value):
            return one.name
    return ""


def missing_rights(brokers: Brokers, rights: Iterable[Right], *, timeout_s: float = TIMEOUT_S) -> list[Right]:
    """Those that this process has not, as far as brokers tell: not for transactions, nor for what does not exist.

    Raises: EnvironmentProblem if the brokers do not answer.
    """
    admin = AdminClient(brokers.client({"log_level": 0}))
    brokers.metadata(admin, timeout_s=timeout_s)
    wanted = list(rights)
    topics = sorted({right.name for right in wanted if right.resource == TOPIC and not right.is_prefix})
    groups = sorted({right.name for right in wanted if right.resource == GROUP and not right.is_prefix})
    granted: dict[tuple[str, str], frozenset[str] | None] = {}
    if topics:
        for name, future in admin.describe_topics(TopicCollection(topics), include_authorized_operations=True).items():
            granted[TOPIC, name] = _granted(brokers, future)
    for name in groups:
        for future in admin.describe_consumer_groups([name], include_authorized_operations=True).values():
            granted[GROUP, name] = _granted(brokers, future)
    found = []
    for right in wanted:
        has = granted.get((right.resource, right.name))
        if has is not None and right.operation not in has and right.operation != CREATE:
            found.append(right)
    return sorted(found)


def require_rights(settings: Settings, rights: Iterable[Right]) -> None:
    """Raises: EnvironmentProblem naming each right that is missing, who needs it, and how to grant it."""
    brokers = brokers_of(settings)
    if missing := missing_rights(brokers, rights):
        raise denied(brokers, missing)


def no_transactions(settings: Settings, error: TransactionFailed) -> EnvironmentProblem:
    """Why a worker cannot begin transactions."""
    if "TRANSACTIONAL_ID_AUTHORIZATION_FAILED" in str(error):
        # The only right of which brokers do not tell who has it.
        wanted = [right for right in worker_rights(settings) if right.resource == TRANSACTIONAL_ID]
        return denied(brokers_of(settings), wanted)
    return EnvironmentProblem(
        f"the broker does not take transactions: {error}", hint="is it ready, with enough replicas for them?"
    )


def explained(error: BaseException, brokers: Brokers, rights: Iterable[Right]) -> BaseException:
    """The error; in its place the right that is missing, where that is what it is about. Blocks, not for long."""
    if is_denied(error):
        # Brokers say that something was refused. Which right is missing is found out by asking for each.
        with suppress(EnvironmentProblem):
            if missing := missing_rights(brokers, rights, timeout_s=EXPLAIN_S):
                return denied(brokers, missing)
    return error


def _topic_rights(role: str, settings: Settings, channels: Iterable[str]) -> Iterable[Right]:
    names = topic_names(settings)

    def right(name: str, operation: str, why: str, *, is_prefix: bool = False) -> Right:
        return Right(TOPIC, name, is_prefix=is_prefix, operation=operation, why=why)

    for spec in topic_specs(settings, channels):
        kind = kind_of(spec.name, names)
        operations = TOPICS[kind].get(role, "").split()
        for operation in operations:
            yield right(spec.name, operation, f"{kind.replace('_', ' ')}: {operation.lower()}")
        if role in CHECKING:
            if not operations:
                yield right(spec.name, DESCRIBE, "see that it is there")
            if spec.config or (role == "operator" and spec.retention):
                yield right(spec.name, DESCRIBE_CONFIGS, "see that it is as it must be")
            if role == "operator" or settings.create_topics:
                yield right(spec.name, CREATE, "make it where it is missing")
    if role == "operator":
        yield right(names.sinks_prefix, CREATE, "make the topics of sinks' dead letters", is_prefix=True)
        yield right(names.sinks_prefix, DESCRIBE_CONFIGS, "see how long they are kept", is_prefix=True)
    for operation in TOPICS["sinks"].get(role, "").split():
        yield right(names.sinks_prefix, operation, f"sinks' dead letters: {operation.lower()}", is_prefix=True)


def _worker_rights(settings: Settings, emits: Iterable[str]) -> list[Right]:
    names, transactions = topic_names(settings), f"{settings.app_id}-"
    more = [
        Right(GROUP, settings.app_id, is_prefix=False, operation=READ, why="share the events among workers"),
        Right(TRANSACTIONAL_ID, transactions, is_prefix=True, operation=WRITE, why="commit, and end open ones"),
    ]
    emitted = sorted({settings.topic_prefix + topic for topic in emits})
    more += [Right(TOPIC, name, is_prefix=False, operation=WRITE, why="journeys emit to it") for name in emitted]
    if settings.publish:
        published = (
            (names.definitions, WRITE),
            (names.audit, READ),
            (names.audit, WRITE),
            (names.approvals, READ),
        )
        more += [Right(TOPIC, name, is_prefix=False, operation=done, why="--publish") for name, done in published]
    return more


def _connect_rights() -> list[Right]:
    found = [
        Right(GROUP, CONNECT_GROUP, is_prefix=False, operation=READ, why="Kafka Connect's workers share their work"),
        Right(GROUP, SINK_GROUPS, is_prefix=True, operation=READ, why="each connector reads as a group of its own"),
    ]
    found += [
        Right(TOPIC, name, is_prefix=False, operation=operation, why="Kafka Connect's own state")
        for name in CONNECT_TOPICS
        for operation in (READ, WRITE, CREATE, DESCRIBE_CONFIGS)
    ]
    return found


def _granted(brokers: Brokers, future: object) -> frozenset[str] | None:
    """The operations that are allowed; None if that cannot be known."""
    try:
        description = future.result(timeout=20)  # type: ignore[attr-defined]  # the client's futures have no type
    except KafkaException as error:
        code = error.args[0].code()
        if code in {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}:
            # What is seen by nobody who may not describe it: whether more than that is missing shows afterwards.
            return frozenset({DESCRIBE_CONFIGS})
        if code in UNTOLD:
            return None
        raise brokers.problem(error) from None
    operations = description.authorized_operations
    if operations is None:
        return None
    return frozenset("".join(part.capitalize() for part in operation.name.split("_")) for operation in operations)
