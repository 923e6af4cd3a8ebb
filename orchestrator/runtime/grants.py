"""A right on the brokers as a value: what it is called, how it is granted, and what is said where it is missing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.brokers import Brokers

READ, WRITE, CREATE, DESCRIBE, DESCRIBE_CONFIGS = "Read", "Write", "Create", "Describe", "DescribeConfigs"
TOPIC, GROUP, TRANSACTIONAL_ID = "topic", "group", "transactional-id"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """One operation on one thing, or on all whose names begin so. `why` says what it is for."""

    resource: str
    name: str
    is_prefix: bool
    operation: str
    why: str = field(default="", compare=False)

    def __str__(self) -> str:
        return f"{self.operation} {self.resource} {self.name}{'*' if self.is_prefix else ''}"


def is_denied(error: BaseException) -> bool:
    """Whether brokers may have refused something to somebody whom they know, in the words of any of the clients."""
    # aiokafka has classes, librdkafka has names, which failed transactions carry on in their text.
    # A transaction whose records were refused one by one is only said to be inconsistent.
    said = str(error)
    is_named = type(error).__name__.endswith("AuthorizationFailedError") or "AUTHORIZATION_FAILED" in said
    return is_named or ("_INCONSISTENT" in said and "failed delivery" in said)


def denied(brokers: Brokers, missing: Iterable[Right]) -> EnvironmentProblem:
    """Says which rights are missing, and prints the commands that grant them."""
    rights = sorted(missing)
    return EnvironmentProblem(
        f"{brokers.principal} has not the right to {', '.join(map(str, rights))}",
        hint="; ".join(grant_command(right, brokers.principal, brokers.servers) for right in rights)
        + brokers.or_mapped,
    )


def grant_command(right: Right, principal: str, servers: str) -> str:
    """The command of Kafka's own tools that grants the right."""
    pattern = " --resource-pattern-type prefixed" if right.is_prefix else ""
    return (
        f"kafka-acls.sh --bootstrap-server {servers} --add --allow-principal '{principal}' "
        f"--operation {right.operation} --{right.resource} '{right.name}'{pattern}"
    )
