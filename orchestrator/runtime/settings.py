"""Every setting of a worker, with its default and the sentence that its users read.

The command line turns each field into an option (`--batch-records-max`) and an environment variable
(`ORCHESTRATOR_BATCH_RECORDS_MAX`); `help` in a field's metadata is the documentation of both.
"""

from __future__ import annotations

import dataclasses
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.runtime.data_dir import unusable

Value = TypeVar("Value")

DEFAULT_EVENT_TOPICS = ("events.web", "events.orders", "events.support", "events.engagement", "events.profile")
WORKER_ID_FILE = "worker-id"
_AT_LEAST_ONE = (
    "partitions",
    "batch_records_max",
    "timers_per_transaction_max",
    "align_per_transaction_max",
    "buffer_records_max",
    "tick_ms",
)
RETENTIONS = (
    "event_retention_days",
    "action_retention_days",
    "decision_retention_days",
    "dead_letter_retention_days",
    "audit_retention_days",
)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


PROTOCOLS = ("plaintext", "ssl", "sasl_plaintext", "sasl_ssl")
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")


def _setting(default: Value, text: str, *, choices: tuple[str, ...] = ()) -> Value:
    field: Any = dataclasses.field(default=default, metadata={"help": text, "choices": choices})
    value: Value = field
    return value


def _secret(text: str) -> str:
    """A setting that comes from the environment alone, and is in no text about the settings."""
    field: Any = dataclasses.field(default="", repr=False, metadata={"help": text, "choices": (), "secret": True})
    value: str = field
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a worker needs to know. Raises ValueError for a value that cannot work."""

    bootstrap_servers: str = _setting("127.0.0.1:9092", "Kafka brokers, HOST:PORT, separated by commas.")
    registry_url: str = _setting(
        "http://127.0.0.1:8081",
        "Address of the schema registry (Confluent REST API).",
    )
    security_protocol: str = _setting(
        "plaintext",
        "How brokers are spoken to: with TLS (`ssl`), with a name and a password (`sasl_plaintext`, on this machine "
        "only), or both (`sasl_ssl`).",
        choices=PROTOCOLS,
    )
    sasl_mechanism: str = _setting("SCRAM-SHA-512", "How the password is shown to brokers.", choices=MECHANISMS)
    sasl_username: str = _setting("", "Name to sign in to the brokers with.")
    sasl_password: str = _secret("Password to sign in to the brokers with.")
    sasl_password_file: str = _setting("", "File with the password to sign in to the brokers with.")
    ssl_ca_file: str = _setting(
        "", "PEM file with the authorities whose certificates are trusted. Default: those of the machine."
    )
    ssl_certificate_file: str = _setting("", "PEM file with the certificate to show to brokers.")
    ssl_key_file: str = _setting("", "PEM file with the certificate's key, if it is not in the same file.")
    ssl_key_password: str = _secret("Password of the certificate's key.")
    ssl_key_password_file: str = _setting("", "File with the password of the certificate's key.")
    registry_username: str = _setting("", "Name to sign in to the schema registry with.")
    registry_password: str = _secret("Password to sign in to the schema registry with.")
    registry_password_file: str = _setting("", "File with the password to sign in to the schema registry with.")
    registry_ca_file: str = _setting(
        "", "PEM file with the authorities trusted for the registry's certificate. Default: as for brokers."
    )
    registry_certificate_file: str = _setting(
        "", "PEM file with the certificate to show to the registry. Default: as for brokers."
    )
    registry_key_file: str = _setting(
        "", "PEM file with the key of the registry's client certificate, if it is not in the same file."
    )
    registry_key_password: str = _secret("Password of that key.")
    registry_key_password_file: str = _setting("", "File with the password of that key.")
    app_id: str = _setting(
        "orchestrator",
        "Name of the application: the consumer group, and the first part of the changelog topic's name. "
        "All workers of one installation share it.",
    )
    # A path is immutable, though the linter cannot know it.
    data_dir: Path = _setting(  # noqa: RUF009
        Path(".orchestrator/worker"),
        "Directory for the customer records of this worker's partitions. One directory for each worker; it may be "
        "deleted while the worker is stopped, then it is rebuilt from the changelog topic.",
    )
    worker_id: str = _setting(
        "",
        "Stable name of this worker, so that a restart ends the transaction it left open. "
        "Default: chosen at random once, kept in the data directory.",
    )
    event_topics: tuple[str, ...] = _setting(
        DEFAULT_EVENT_TOPICS,
        "Topics with customer events, separated by commas; all have the same number of partitions.",
    )
    partitions: int = _setting(
        4, "Partitions of every topic: the upper bound of workers that share the load. It cannot be changed later."
    )
    replication_factor: int = _setting(-1, "Replicas of topics that are created; -1 takes the broker's default.")
    topic_prefix: str = _setting("", "Put before the name of every topic, so that installations can share a cluster.")
    journeys: Path = _setting(  # noqa: RUF009
        Path("journeys"), "Directory with journeys, templates and policies."
    )
    publish: bool = _setting(
        default=False,
        text="Publish the directory's journeys at the start, though others are in force. Without it they are published "
        "only where nothing was yet; afterwards `orchestrator apply` brings new ones into force.",
    )
    schemas: Path = _setting(  # noqa: RUF009
        Path("schemas"), "Directory with the Avro schemas (events/, actions/, records/)."
    )
    time: str = _setting(
        "wall",
        "Which time timers go by: `wall` is the clock; `stream` is the time of the records, for replays, backfills and "
        "demonstrations.",
        choices=("wall", "stream"),
    )
    metrics_host: str = _setting("127.0.0.1", "Address on which /metrics, /healthz and /readyz are served.")
    metrics_port: int = _setting(0, "Port for metrics and health; 0 takes a free one and prints it.")
    batch_records_max: int = _setting(
        30_000, "Most records in one transaction. More is faster while catching up, and later to become visible."
    )
    timers_per_transaction_max: int = _setting(20_000, "Most timers fired for one partition in one transaction.")
    align_per_transaction_max: int = _setting(
        500,
        "Most customers without events who are brought in line with new journeys in one partition in one transaction.",
    )
    buffer_records_max: int = _setting(
        20_000, "Most records held in memory for one topic's partition before reading from it pauses."
    )
    merge_wait_ms: int = _setting(
        200,
        "Wall clock only: how long a topic that has more to deliver may hold back the records of the others, so that "
        "they are taken in time order. Milliseconds.",
    )
    tick_ms: int = _setting(50, "How often due timers are looked for while no events come. Milliseconds.")
    session_timeout_ms: int = _setting(
        6_000, "A worker that is silent for longer has failed, and the others take over its partitions. Milliseconds."
    )
    heartbeat_interval_ms: int = _setting(1_500, "How often a worker tells the broker that it lives. Milliseconds.")
    rebalance_timeout_ms: int = _setting(
        15_000, "How long the others wait for a worker to hand over its partitions. Milliseconds."
    )
    transaction_timeout_ms: int = _setting(
        10_000, "The broker aborts a failed worker's transaction after this time. Milliseconds."
    )
    stop_timeout_ms: int = _setting(
        10_000, "A worker that is told to stop ends after this time even if it could not finish. Milliseconds."
    )
    hang_timeout_ms: int = _setting(
        90_000,
        "A worker whose cycles have not come round for so long answers 503 at /healthz, so that its supervisor starts "
        "it again. Longer than any call to the broker or the registry may take. Milliseconds.",
    )
    create_topics: bool = _setting(default=False, text="Create missing topics at the start.")
    environment: str = _setting(
        "production",
        "What this installation is for: one of the environments of governance.yaml, if there is one; it says what may "
        "be brought into force here.",
    )
    event_retention_days: int = _setting(
        90, "How long topics of events, and the journal, are kept where they are created; -1 is for ever."
    )
    action_retention_days: int = _setting(
        7, "How long topics of commands, with addresses and messages, are kept where they are created; -1 is for ever."
    )
    decision_retention_days: int = _setting(
        90, "How long the records of decisions are kept where their topic is created; -1 is for ever."
    )
    dead_letter_retention_days: int = _setting(
        14, "How long dead letters are kept where their topic is created; -1 is for ever."
    )
    audit_retention_days: int = _setting(
        -1, "How long the audit log is kept where its topic is created; -1 is for ever."
    )
    audit_key_file: str = _setting(
        "",
        "File with a secret by which the audit log names customers whose data was given out or erased. Without it the "
        "log says that it was done, not for whom.",
    )
    log_format: str = _setting("text", "Log lines as text for people or JSON for machines.", choices=("text", "json"))
    log_level: str = _setting("info", "Least severity that is logged.", choices=("debug", "info", "warning", "error"))

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for field in dataclasses.fields(self):
            choices = field.metadata["choices"]
            if choices and getattr(self, field.name) not in choices:
                raise ValueError(f"{field.name} must be one of {', '.join(choices)}")
        if not self.event_topics:
            raise ValueError("event_topics must name at least one topic")
        if not _NAME.fullmatch(self.environment):
            raise ValueError("environment must be a name such as production or staging")
        for name in RETENTIONS:
            if getattr(self, name) < 1 and getattr(self, name) != -1:
                raise ValueError(f"{name} must be a number of days, or -1 for ever")
        if not _NAME.fullmatch(self.app_id):
            raise ValueError("app_id may contain letters, digits, dots, dashes and underscores, and must not be empty")
        if self.worker_id and not _NAME.fullmatch(self.worker_id):
            raise ValueError("worker_id may contain letters, digits, dots, dashes and underscores")
        if self.session_timeout_ms < 3 * self.heartbeat_interval_ms:
            raise ValueError("session_timeout_ms must be at least three times heartbeat_interval_ms")
        _check_access(self)


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, so that nothing said to it leaves the machine.

    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "127.example.com")]
    [True, True, True, False]
    """
    return host in {"localhost", "::1"} or (host.startswith("127.") and host.replace(".", "").isdecimal())


def is_plain_abroad(settings: Settings) -> bool:
    """Whether brokers are on other machines and everything said to them can be read on its way."""
    return settings.security_protocol in {"plaintext", "sasl_plaintext"} and not all(
        is_loopback(server.strip().rpartition(":")[0].strip("[]")) for server in settings.bootstrap_servers.split(",")
    )


def _check_access(settings: Settings) -> None:
    """Raises: ValueError if the settings of security contradict each other, or a password would be readable."""
    signs_in = settings.security_protocol.startswith("sasl_")
    for name in ("sasl_password", "ssl_key_password", "registry_password", "registry_key_password"):
        if getattr(settings, name) and getattr(settings, f"{name}_file"):
            raise ValueError(f"{name} and {name}_file are both given; give one of them")
    if (settings.sasl_username or settings.sasl_password or settings.sasl_password_file) and not signs_in:
        raise ValueError(
            f"security_protocol {settings.security_protocol} signs nobody in, though sasl_username or a password is "
            "given; set it to sasl_ssl"
        )
    if signs_in and not (settings.sasl_username and (settings.sasl_password or settings.sasl_password_file)):
        raise ValueError(
            f"security_protocol {settings.security_protocol} needs sasl_username, and the password in "
            "ORCHESTRATOR_SASL_PASSWORD or sasl_password_file"
        )
    if signs_in and is_plain_abroad(settings):
        raise ValueError("sasl_plaintext would send the password to another machine in plain text; use sasl_ssl")
    if settings.security_protocol in {"plaintext", "sasl_plaintext"} and settings.ssl_certificate_file:
        raise ValueError(f"security_protocol {settings.security_protocol} shows no ssl_certificate_file; use ssl")
    for of in ("ssl", "registry"):
        if getattr(settings, f"{of}_key_file") and not getattr(settings, f"{of}_certificate_file"):
            raise ValueError(f"{of}_key_file belongs to a {of}_certificate_file, which is not given")
    if (settings.registry_password or settings.registry_password_file) and not settings.registry_username:
        raise ValueError("a password for the registry is given without registry_username")


def transactional_id(settings: Settings) -> str:
    """The worker's name towards the broker: stable over restarts, different for each data directory.

    Raises: EnvironmentProblem if the data directory cannot be written.
    """
    _make_data_dir(settings.data_dir)
    return f"{settings.app_id}-{settings.worker_id or _kept_worker_id(settings.data_dir)}"


def _make_data_dir(data_dir: Path) -> None:
    """Creates the directory and those above it, where they are missing.

    Raises: EnvironmentProblem if that cannot be done.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(data_dir, error) from error


def _kept_worker_id(data_dir: Path) -> str:
    path = data_dir / WORKER_ID_FILE
    try:
        try:
            kept = path.read_text("ascii").strip()
        except FileNotFoundError:
            kept = ""
        if _NAME.fullmatch(kept):
            return kept
        fresh = secrets.token_hex(6)
        # Written beside and renamed, so that a crash leaves either no name or a whole one.
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(fresh, "ascii")
        beside.replace(path)
    except (OSError, UnicodeDecodeError) as error:
        raise unusable(data_dir, error) from error
    return fresh
