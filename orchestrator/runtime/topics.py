"""Topics as they must be: their names, what is wrong with those on the broker, and creating what is missing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from confluent_kafka.cimpl import NewTopic

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.access import brokers_of
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.grants import CREATE, TOPIC, Right, denied
from orchestrator.runtime.settings import Settings

TABLE_NAME = "customers"
TIMEOUT_S = 10.0
"""How long the broker may take for an answer before the command says that it is not there."""


@dataclass(frozen=True, slots=True)
class TopicNames:
    """What each topic is called in one installation."""

    events: tuple[str, ...]
    actions_prefix: str
    transitions: str
    journal: str
    dead_letters: str
    recalls: str
    definitions: str
    audit: str
    approvals: str
    changelog: str
    sinks_prefix: str
    """How the names of the sinks' own topics begin."""

    def actions(self, channel: str) -> str:
        """The topic of a channel's action commands."""
        return self.actions_prefix + channel


def topic_names(settings: Settings) -> TopicNames:
    """The names with the installation's prefix; the changelog is named as Faust names it, after the application."""
    prefix = settings.topic_prefix
    return TopicNames(
        events=tuple(prefix + name for name in settings.event_topics),
        actions_prefix=f"{prefix}actions.",
        transitions=f"{prefix}journeys.transitions",
        journal=f"{prefix}journeys.journal",
        dead_letters=f"{prefix}journeys.dead-letters",
        recalls=f"{prefix}journeys.recalls",
        definitions=f"{prefix}journeys.definitions",
        audit=f"{prefix}orchestrator.audit",
        approvals=f"{prefix}orchestrator.approvals",
        changelog=f"{settings.app_id}-{TABLE_NAME}-changelog",
        sinks_prefix=f"{prefix}sinks.",
    )


def unread_events(wanted: Iterable[str], schemas: Mapping[str, str], event_topics: Iterable[str]) -> dict[str, str]:
    """Event type → topic, of the event types that journeys ask for and whose topic no worker reads.

    `schemas` are those of the event types. A schema's topic is where its events are sent by `produce` and `ingest`;
    somebody else may send them to a topic that is read, so that this is no more than a warning.
    """
    read = frozenset(event_topics)
    topics = {name: json.loads(schemas[name]).get("topic") for name in sorted(wanted) if name in schemas}
    return {name: topic for name, topic in topics.items() if topic is not None and topic not in read}


PERSONAL, IDS, DIGESTS, NOTHING = "personal data", "customer ids", "digests of customer ids", "nothing personal"
"""What a topic holds about customers."""
DAY_MS = 86_400_000
CHANGELOG_COMPACTED_MS = 7 * DAY_MS
"""When a customer's former records, and those of the erased, are gone from the changelog at the latest, but for the
rounds of the broker's cleaner. Without it they would stay as long as their segment is being written to."""


RECALLS_LONGER_DAYS = 8
"""How much longer recalls are kept than the commands that they are about: a command is readable until the segment that
it is in has rolled (7 days by default) and has been looked at.
"""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as it must be: `config` holds only what correctness depends on.

    `initial` is what it is created with besides; whoever operates the broker may change it. `retention` names the
    setting that says how long its records are kept, where there is one.
    """

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    initial: Mapping[str, str] = field(default_factory=dict)
    holds: str = NOTHING
    retention: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Mismatch:
    """One difference between a topic and what it must be; `found` is empty if the topic is missing."""

    topic: str
    setting: str
    found: str
    wanted: str

    def __str__(self) -> str:
        if not self.found:
            return f"topic {self.topic} does not exist"
        return f"topic {self.topic} has {self.setting} {self.found}, needed is {self.wanted}"


PRODUCED_BYTES_MAX = 10_000_000
"""As much as the worker's producer sends."""


def topic_specs(settings: Settings, channels: Iterable[str]) -> tuple[TopicSpec, ...]:
    """Every topic that a worker reads or writes, in the order of their names."""
    names, partitions = topic_names(settings), settings.partitions
    if settings.time == "stream":
        # Records carry their historic time; with a retention in time the broker would drop them at once.
        event_config = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
    else:
        event_config = {"message.timestamp.type": "LogAppendTime"}
    compacted = {"cleanup.policy": "compact"}

    def kept(
        name: str,
        by: str,
        holds: str,
        config: Mapping[str, str] | None = None,
        number: int = partitions,
        longer_days: int = 0,
    ) -> TopicSpec:
        days: int = getattr(settings, by)
        retention = {"retention.ms": str(days if days < 0 else (days + longer_days) * DAY_MS)}
        return TopicSpec(name, number, config or {}, retention, holds, by)

    specs = [kept(name, "event_retention_days", PERSONAL, event_config) for name in names.events]
    specs += [kept(names.actions(channel), "action_retention_days", PERSONAL) for channel in channels]
    specs.append(kept(names.transitions, "decision_retention_days", IDS))
    # Without the events a journal is of no use, nor they without it for a replay.
    specs.append(kept(names.journal, "event_retention_days", IDS))
    # A dead letter is its original with headers added, and perhaps compressed less well: larger than what was let in.
    larger = {"max.message.bytes": str(PRODUCED_BYTES_MAX)}
    specs.append(kept(names.dead_letters, "dead_letter_retention_days", PERSONAL, larger))
    recalled = {"cleanup.policy": "compact,delete"}
    specs.append(kept(names.recalls, "action_retention_days", DIGESTS, recalled, longer_days=RECALLS_LONGER_DAYS))
    specs.append(TopicSpec(names.definitions, 1, compacted))
    # One partition: what was done stands in the order in which it was done.
    specs.append(kept(names.audit, "audit_retention_days", NOTHING, {"cleanup.policy": "delete"}, 1))
    # The newest word of each person about each content stays: a content may be brought into force years later.
    specs.append(TopicSpec(names.approvals, 1, compacted))
    forgotten = {"max.compaction.lag.ms": str(CHANGELOG_COMPACTED_MS)}
    specs.append(TopicSpec(names.changelog, partitions, compacted, forgotten, PERSONAL))
    return tuple(sorted(specs, key=lambda spec: spec.name))


def sink_spec(settings: Settings, name: str) -> TopicSpec:
    """The topic of a sink's dead letters. Kafka Connect writes to one partition, wherever the record came from."""
    days = settings.dead_letter_retention_days
    retention = {"retention.ms": str(days if days < 0 else days * DAY_MS)}
    larger = {"max.message.bytes": str(PRODUCED_BYTES_MAX)}
    return TopicSpec(name, 1, {}, {**retention, **larger}, PERSONAL, "dead_letter_retention_days")


def sink_specs(settings: Settings) -> list[TopicSpec]:
    """The topics of sinks that are there. Raises: EnvironmentProblem if the broker does not answer."""
    brokers, prefix = brokers_of(settings), topic_names(settings).sinks_prefix
    existing = _existing_partitions(_admin(brokers), brokers)
    return [sink_spec(settings, name) for name in sorted(existing) if name.startswith(prefix)]


def mismatches(settings: Settings, specs: Sequence[TopicSpec]) -> list[Mismatch]:
    """How the broker's topics differ from `specs`, sorted; empty if they are as they must be.

    Raises: EnvironmentProblem if the broker does not answer.
    """
    brokers = brokers_of(settings)
    admin = _admin(brokers)
    existing = _existing_partitions(admin, brokers)
    found: list[Mismatch] = []
    present: list[TopicSpec] = []
    for spec in specs:
        count = existing.get(spec.name)
        if count is None:
            found.append(Mismatch(spec.name, "", "", ""))
            continue
        present.append(spec)
        if count != spec.partitions:
            found.append(Mismatch(spec.name, "partitions", str(count), str(spec.partitions)))
    configs = _configs(admin, brokers, [spec.name for spec in present if spec.config])
    for spec in present:
        for setting, wanted in spec.config.items():
            value = configs[spec.name].get(setting, "unset")
            if value != wanted:
                found.append(Mismatch(spec.name, setting, value, wanted))
    return sorted(found)


def kept_for_ever(settings: Settings, specs: Sequence[TopicSpec]) -> list[str]:
    """Topics with data about customers that are there, and whose records never go though nothing needs that.

    Raises: EnvironmentProblem if the broker does not answer.
    """
    brokers = brokers_of(settings)
    admin = _admin(brokers)
    existing = _existing_partitions(admin, brokers)
    bounded = [spec for spec in specs if spec.name in existing and spec.holds != NOTHING]
    bounded = [spec for spec in bounded if spec.retention and spec.config.get("retention.ms") != "-1"]
    configs = _configs(admin, brokers, [spec.name for spec in bounded])
    return [spec.name for spec in bounded if configs[spec.name].get("retention.ms") == "-1"]


def kept_too_short(settings: Settings, specs: Sequence[TopicSpec]) -> list[Mismatch]:
    """Topics whose loss cannot be made good, such as the audit log, and that the broker keeps shorter than is set; and
    recalls that go before the commands which they call back, as long as the broker really keeps those.

    Raises: EnvironmentProblem if the broker does not answer.
    """
    brokers = brokers_of(settings)
    admin = _admin(brokers)
    existing = _existing_partitions(admin, brokers)
    names = topic_names(settings)
    kept = [spec for spec in specs if spec.name in {names.audit, names.recalls} and spec.name in existing]
    actions = [spec.name for spec in specs if spec.name.startswith(names.actions_prefix) and spec.name in existing]
    configs = _configs(admin, brokers, [*(spec.name for spec in kept), *actions])
    needed = {spec.name: spec.initial["retention.ms"] for spec in kept}
    if names.recalls in needed:
        needed[names.recalls] = _needed_by_recalls(configs[name].get("retention.ms", "") for name in actions)
    return [
        Mismatch(spec.name, setting, found, wanted)
        for spec in kept
        for setting, wanted in (("retention.ms", needed[spec.name]), ("retention.bytes", "-1"))
        if is_shorter(found := configs[spec.name].get(setting, "unset"), wanted)
    ]


def _needed_by_recalls(of_actions: Iterable[str]) -> str:
    """For how long recalls are needed where action topics are kept for so long."""
    longest = 0
    for text in of_actions:
        if text.startswith("-"):
            return "-1"
        longest = max(longest, int(text) if text.isdecimal() else 0)
    return str(longest + RECALLS_LONGER_DAYS * DAY_MS)


def is_shorter(found: str, wanted: str) -> bool:
    """Whether a retention of the broker's, -1 for ever, is less than this one."""
    try:
        kept = int(found)
    except ValueError:
        return False
    return kept >= 0 and (int(wanted) < 0 or kept < int(wanted))


def create_topics(settings: Settings, specs: Sequence[TopicSpec]) -> list[str]:
    """Creates the topics that are missing; gives their names.

    Raises: EnvironmentProblem if the broker does not answer or refuses.
    """
    brokers = brokers_of(settings)
    admin = _admin(brokers)
    existing = _existing_partitions(admin, brokers)
    missing = [spec for spec in specs if spec.name not in existing]
    if not missing:
        return []
    futures = admin.create_topics(
        [
            NewTopic(
                spec.name,
                num_partitions=spec.partitions,
                replication_factor=settings.replication_factor,
                config={**spec.initial, **spec.config},
            )
            for spec in missing
        ],
        operation_timeout=TIMEOUT_S,
        request_timeout=TIMEOUT_S,
    )
    created, refused = [], []
    for name, future in futures.items():
        try:
            future.result(timeout=2 * TIMEOUT_S)
        except KafkaException as error:
            cause = error.args[0]
            # Two workers may start at once; whoever comes second finds the topic there.
            if cause.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                refused.append(name)
            elif cause.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise EnvironmentProblem(
                    f"topic {name} could not be created: {cause.str()}",
                    hint="create it by hand, or let a user who may create topics run `orchestrator topics create`",
                ) from error
        else:
            created.append(name)
    if refused:
        raise denied(brokers, [Right(TOPIC, name, is_prefix=False, operation=CREATE) for name in refused])
    _await_leaders(admin, brokers, [spec.name for spec in missing])
    return sorted(created)


def _await_leaders(admin: AdminClient, brokers: Brokers, names: Sequence[str]) -> None:
    """The broker answers before it knows the new topic itself; whoever asks at once would not find it."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        known = brokers.metadata(admin, timeout_s=TIMEOUT_S).topics
        waiting = [
            name
            for name in names
            if name not in known
            or not known[name].partitions
            or any(partition.leader < 0 for partition in known[name].partitions.values())
        ]
        if not waiting:
            return
        if time.monotonic() > deadline:
            raise EnvironmentProblem(
                f"topics were created and have no leader yet: {', '.join(waiting)}", hint="are enough brokers running?"
            )
        time.sleep(0.05)


def ensure_topics(settings: Settings, specs: Sequence[TopicSpec], *, create: bool) -> list[str]:
    """Topics that are as they must be, or an error that says how they are not; gives the names of those created.

    Raises: EnvironmentProblem naming the topics, the settings, what was found and what is needed.
    """
    created = create_topics(settings, specs) if create else []
    wrong = mismatches(settings, specs)
    if not wrong:
        return created
    if all(not problem.found for problem in wrong):
        hint = "run `orchestrator topics create`, or start the worker with --create-topics"
    elif any(problem.setting == "partitions" for problem in wrong):
        hint = "set --partitions to the number the topics have, or use another --topic-prefix and --app-id"
    else:
        hint = "set --time to suit the topics, or use another --topic-prefix and --app-id"
    missing = [problem.topic for problem in wrong if not problem.found]
    kept = [name for name in (topic_names(settings).changelog, topic_names(settings).definitions) if name in missing]
    if kept and len(missing) < len(specs):
        hint = (
            f"if workers have run before, {' and '.join(kept)} was lost: keep the data directories, perhaps the only "
            "copy, and see the run-book OrchestratorRestarting; otherwise run `orchestrator topics create`"
        )
    said = [f"topics do not exist: {', '.join(missing)}{brokers_of(settings).or_hidden}"] if missing else []
    said += [str(problem) for problem in wrong if problem.found]
    raise EnvironmentProblem("; ".join(said), hint=hint)


def _admin(brokers: Brokers) -> AdminClient:
    # The client prints connection failures on its own; the raised problem says the same once, in our words.
    return AdminClient(brokers.client({"log_level": 0}))


def _existing_partitions(admin: AdminClient, brokers: Brokers) -> dict[str, int]:
    return {name: len(topic.partitions) for name, topic in brokers.metadata(admin, timeout_s=TIMEOUT_S).topics.items()}


def _configs(admin: AdminClient, brokers: Brokers, names: Sequence[str]) -> dict[str, dict[str, str]]:
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    configs: dict[str, dict[str, str]] = {}
    for resource, future in admin.describe_configs(resources, request_timeout=TIMEOUT_S).items():
        try:
            entries = future.result(timeout=2 * TIMEOUT_S)
        except KafkaException as error:
            raise brokers.problem(error) from error
        configs[resource.name] = {key: str(entry.value) for key, entry in entries.items()}
    return configs
