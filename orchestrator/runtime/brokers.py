"""The one way to the brokers: what every Kafka client of the project is told, and what its failures mean.

A client is made with `Consumer(brokers.client({...}))`; nobody else writes down an address or a password. Clients tell
why they cannot connect on a side channel, long before a call runs out of time, so what they say is kept here.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._metadata import ClusterMetadata

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.tls import PROBE_S, Tls, subject_of

TIMEOUT_S = 10.0
LOOK_S = 0.5
"""How long one attempt to reach a broker lasts before it is asked why it did not succeed."""

READERS = "orchestrator-reader"
"""The group that readers name, though they are in none."""

_TLS = frozenset({"ssl", "sasl_ssl"})
_SASL = frozenset({"sasl_plaintext", "sasl_ssl"})
_REFUSED = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})  # noqa: SLF001 - its name

DENIED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    }
)
"""What brokers answer to those who are let in and have not the right."""

Client = AdminClient | Consumer | Producer


@dataclass(frozen=True, slots=True)
class Brokers:
    """The brokers of a cluster, who this process says it is, and whom it trusts.

    `protocol` is Kafka's security protocol in lower case.
    """

    servers: str
    protocol: str = "plaintext"
    mechanism: str = "SCRAM-SHA-512"
    username: str = ""
    password: str = field(default="", repr=False)
    ca_file: str = ""
    """Authorities to trust; those of the machine if empty."""
    certificate_file: str = ""
    key_file: str = ""
    key_password: str = field(default="", repr=False)
    _said: deque[KafkaError] = field(default_factory=lambda: deque(maxlen=20), repr=False, compare=False)

    @property
    def is_signing_in(self) -> bool:
        """Whether a name and a password are sent."""
        return self.protocol in _SASL

    @property
    def principal(self) -> str:
        """Who the brokers take this process for, as their access rules name it."""
        if self.is_signing_in:
            return f"User:{self.username}"
        if self.certificate_file:
            return f"User:{subject_of(self.certificate_file) or 'NAME'}"
        return "User:ANONYMOUS"

    @property
    def or_mapped(self) -> str:
        """What else the brokers may call this process; "" if they know it by the name that it signs in with."""
        if self.is_signing_in or not self.certificate_file:
            return ""
        return "; or as the brokers' ssl.principal.mapping.rules name the owner of the certificate"

    @property
    def or_hidden(self) -> str:
        """What else it may mean that a topic is not there: brokers do not show what one may not describe."""
        return "" if self.principal == "User:ANONYMOUS" else f", or {self.principal} may not see it"

    def client(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings with everything that a client needs for reaching the brokers."""
        return {"bootstrap.servers": self.servers, "error_cb": self._said.append, **self._security(), **settings}

    def reader(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """As `client`, for a consumer that is told what to read: it belongs to no group and commits nothing."""
        # The client insists on the name of a group and asks for its coordinator: one name needs one right.
        return self.client({"group.id": READERS, "enable.auto.commit": False, **settings})

    def tls(self) -> ssl.SSLContext | None:
        """For clients that take Python's own TLS; None where none is spoken.

        Raises: EnvironmentProblem if a file cannot be used.
        """
        if self.protocol not in _TLS:
            return None
        return self._tls().context()

    def _tls(self) -> Tls:
        return Tls(self.ca_file, self.certificate_file, self.key_file, self.key_password)

    def metadata(self, client: Client, *, timeout_s: float = TIMEOUT_S) -> ClusterMetadata:
        """What the brokers say about themselves and their topics.

        Raises: EnvironmentProblem if they do not answer; at once where they refuse, or are not to be trusted.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left = deadline - time.monotonic()
            try:
                return client.list_topics(timeout=max(0.1, min(LOOK_S, left)))
            except KafkaException as error:
                # Serves the callback through which the client says why.
                client.poll(0)
                if left <= LOOK_S or self.is_refused:
                    raise self.problem(error) from None

    def problem(self, error: KafkaException | KafkaError) -> EnvironmentProblem:
        """The failure in our words: who refuses what, and what to do about it. Secrets are in none of it."""
        cause: KafkaError = error.args[0] if isinstance(error, KafkaException) else error
        said = (cause, *self._said)
        if any(one.code() in _REFUSED for one in said):
            return self._not_signed_in(next(one for one in said if one.code() in _REFUSED))
        if any(map(_is_about_tls, said)):
            return self._untrusted()
        if cause.code() in DENIED:
            return EnvironmentProblem(
                f"{self.principal} may not do this on the broker at {self.servers}: {cause.str()}",
                hint="`orchestrator acls` prints what each role needs",
            )
        heard = [one.str() for one in reversed(self._said) if one.code() == KafkaError._TRANSPORT]  # noqa: SLF001
        # Local errors have negative numbers: they are about the way to the broker.
        words = heard[0] if heard and cause.code() < 0 else cause.str()
        # The client's own words begin with the address once more and end with how it fared.
        reason = words.partition("/bootstrap: ")[2].partition(" (after ")[0] or words
        return EnvironmentProblem(
            f"the broker at {self.servers} does not answer: {reason}", hint=self._what_to_look_at()
        )

    def _security(self) -> dict[str, Any]:
        found: dict[str, Any] = {"security.protocol": self.protocol}
        if self.protocol in _TLS:
            # Which is the default; said, so that no default can take it away.
            found["ssl.endpoint.identification.algorithm"] = "https"
            found["enable.ssl.certificate.verification"] = True
            files = {
                "ssl.ca.location": self.ca_file,
                "ssl.certificate.location": self.certificate_file,
                # The client looks for the key nowhere else, also where it is in the same file.
                "ssl.key.location": self.key_file or self.certificate_file,
                "ssl.key.password": self.key_password,
            }
            found |= {name: value for name, value in files.items() if value}
        if self.is_signing_in:
            found |= {"sasl.mechanism": self.mechanism, "sasl.username": self.username, "sasl.password": self.password}
        return found

    @property
    def is_refused(self) -> bool:
        """Whether the brokers refuse, or are not to be trusted: trying again cannot help."""
        return any(one.code() in _REFUSED or _is_about_tls(one) for one in self._said)

    def _not_signed_in(self, cause: KafkaError) -> EnvironmentProblem:
        if "mechanism handshake failed" in cause.str():
            return EnvironmentProblem(
                f"the broker at {self.servers} does not let anybody sign in with {self.mechanism}",
                hint="set --sasl-mechanism to one that the broker has",
            )
        return EnvironmentProblem(
            f"the broker at {self.servers} does not let {self.username} in: the name or the password is wrong",
            hint="check --sasl-username and what ORCHESTRATOR_SASL_PASSWORD or --sasl-password-file holds",
        )

    def _untrusted(self) -> EnvironmentProblem:
        """The client says that something about the certificate is wrong. What it is, a handshake of our own tells."""
        for server in self.servers.split(","):
            host, _, port = server.strip().rpartition(":")
            # An address without a number is nothing to look at; the client's own words say enough.
            said, what_to_do = self._tls().refusal(host.strip("[]"), int(port)) if port.isdecimal() else ("", "")
            if said:
                return EnvironmentProblem(f"the broker at {server.strip()} {said}", hint=what_to_do)
        return EnvironmentProblem(
            f"no secure connection to the broker at {self.servers}",
            hint="check --ssl-ca-file and the client certificate; is --security-protocol the one of this listener?",
        )

    def _what_to_look_at(self) -> str:
        for server in self.servers.split(","):
            host, _, port = server.strip().rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=PROBE_S).close()
            except (OSError, ValueError):
                continue
            return f"something listens there; is its protocol {self.protocol}? set --security-protocol"
        return "start one with `orchestrator up`, or set --bootstrap-servers"


def _is_about_tls(error: KafkaError) -> bool:
    """Whether it is about a secure connection. What a broker says after the handshake comes as a failed transport."""
    return error.code() == KafkaError._SSL or "SSL alert" in error.str()  # noqa: SLF001 - its name
