"""Every setting of `orchestrator ingest`, beside those that it shares with workers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, TypeVar

Value = TypeVar("Value")

_AT_LEAST_ONE = (
    "ingest_body_bytes_max",
    "ingest_events_max",
    "ingest_in_flight_max",
    "ingest_rate",
    "ingest_burst",
    "ingest_delivery_timeout_ms",
    "ingest_read_timeout_ms",
)


def _setting(default: Value, text: str) -> Value:
    field: Any = dataclasses.field(default=default, metadata={"help": text, "choices": ()})
    value: Value = field
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """What the HTTP endpoint needs to know. Raises ValueError for a value that cannot work.

    Tokens and keys are no settings: they come from files or the environment, never from the command line, where other
    users of the machine could read them.
    """

    ingest_host: str = _setting(
        "127.0.0.1", "Address on which events are taken. Only this machine, unless another is given."
    )
    ingest_port: int = _setting(0, "Port on which events are taken; 0 takes a free one and prints it.")
    ingest_tokens_file: str = _setting(
        "",
        "File with the clients' tokens, one NAME TOKEN [TYPE,TYPE] a line. Without it: ORCHESTRATOR_INGEST_TOKENS, "
        "with the same lines.",
    )
    ingest_providers: str = _setting(
        "",
        "Directory with a YAML file for each provider whose webhooks are taken, such as deploy/ingest. Those whose "
        "secret is not in the environment are left out.",
    )
    ingest_link_keys_file: str = _setting(
        "",
        "File with the keys of links in messages, one NAME HEX a line. Without it: ORCHESTRATOR_LINK_KEYS, with the "
        "same lines. Without either no links are served.",
    )
    ingest_body_bytes_max: int = _setting(1_000_000, "Largest body of a request.")
    ingest_held_bytes_max: int = _setting(
        32_000_000,
        "Bytes of bodies that are being read or wait for the broker's acknowledgement. Beyond, the answer is 503 with "
        "Retry-After. Bodies of which nobody knows yet whose they are may be half of it.",
    )
    ingest_events_max: int = _setting(500, "Most events in one request.")
    ingest_in_flight_max: int = _setting(
        10_000, "Most events that wait for the broker's acknowledgement. Beyond, the answer is 503 with Retry-After."
    )
    ingest_rate: int = _setting(1_000, "Events a second that each token may send. Beyond, the answer is 429.")
    ingest_burst: int = _setting(5_000, "Events that a token may send at once after a pause.")
    ingest_delivery_timeout_ms: int = _setting(
        10_000, "How long an event waits for the broker's acknowledgement before the answer is 503. Milliseconds."
    )
    ingest_read_timeout_ms: int = _setting(10_000, "How long a client may take to send a request's body. Milliseconds.")
    ingest_forwarded_hops: int = _setting(
        0,
        "Proxies in front that add to X-Forwarded-For: so many entries from its end is the client's address. "
        "0: the connection's own.",
    )
    ingest_access_log: bool = _setting(default=True, text="One log line for each request, without what it carries.")

    def __post_init__(self) -> None:
        for name in _AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.ingest_held_bytes_max < 2 * self.ingest_body_bytes_max:
            raise ValueError("ingest_held_bytes_max must be at least twice ingest_body_bytes_max")
        if self.ingest_events_max > self.ingest_burst:
            raise ValueError("ingest_events_max must not be more than ingest_burst")
        if self.ingest_events_max > self.ingest_in_flight_max:
            raise ValueError("ingest_events_max must not be more than ingest_in_flight_max")
        if self.ingest_forwarded_hops < 0:
            raise ValueError("ingest_forwarded_hops must not be negative")


FIELDS = {field.name: field for field in dataclasses.fields(IngestSettings)}
