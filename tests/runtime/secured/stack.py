"""A broker that lets nobody in without a password, over TLS, and nobody do what was not granted: as in production.

Certificates and passwords are made for each run, in a temporary folder. The plain listener is the administrator's: on
it everything is allowed, so that tests can make users and grant rights.
"""

from __future__ import annotations

import datetime as dt
import re
import secrets
import ssl
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import trustme
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter, AclOperation, AclPermissionType
from confluent_kafka.admin._resource import ResourcePatternType, ResourceType
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    pkcs12,
)

from orchestrator.runtime.grants import GROUP, TOPIC, TRANSACTIONAL_ID, Right
from orchestrator.stack.ports import HOST, free_port
from orchestrator.stack.stack import Stack, running_stack

SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule"
LISTENERS = ("secured", "elsewhere", "expired", "mutual")
"""As it should be; with a certificate of another host; with one that has expired; where clients show one of theirs."""

SETTINGS = """
listeners=PLAINTEXT://{host}:{plain},CONTROLLER://{host}:{controller},{listeners}
advertised.listeners=PLAINTEXT://{host}:{plain},{listeners}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,{protocols}
sasl.enabled.mechanisms=SCRAM-SHA-512
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:ANONYMOUS
"""


@dataclass(frozen=True, slots=True)
class Secured:
    """The running stack, the addresses of its listeners by name, whom to trust, and the folder of all secrets."""

    stack: Stack
    addresses: dict[str, str]
    ca_file: Path
    other_ca_file: Path
    folder: Path
    admin: AdminClient
    authority: trustme.CA
    stranger: trustme.CA
    registry_port: int
    """Where the registry itself speaks TLS."""
    proxy_port: int
    """Where a proxy before the registry wants to see client certificates."""
    connect_port: int
    """Where Kafka Connect speaks TLS and wants to see them, once it is started."""

    @property
    def servers(self) -> str:
        """The listener as it should be."""
        return self.addresses["secured"]

    def password_file(self, user: str, *, password: str = "") -> Path:
        """A file with the user's password; the user is made, with this password or one made up."""
        password = password or secrets.token_urlsafe(18)
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(user, credential, password.encode())
        for future in self.admin.alter_user_scram_credentials([change]).values():
            future.result(10)
        path = self.folder / f"{user}.password"
        path.write_text(password + "\n")
        return path

    def certificate_file(self, user: str, *, is_known: bool = True) -> Path:
        """A file with a certificate of this name and its key; of an authority that nobody trusts unless `is_known`."""
        path = self.folder / f"{user}-{is_known}.pem"
        if not path.exists():
            made = (self.authority if is_known else self.stranger).issue_cert(
                f"{user}@shop.example", common_name=user, organization_name="Shop"
            )
            made.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path

    def keystores(self, password: str) -> tuple[Path, Path]:
        """(key and certificate of this host, authorities to trust) in the form that Kafka Connect's listeners read."""
        made = self.authority.issue_cert(HOST)
        certificate, *between = [x509.load_pem_x509_certificate(blob.bytes()) for blob in made.cert_chain_pems]
        key = load_pem_private_key(made.private_key_pem.bytes(), None)
        sealed = BestAvailableEncryption(password.encode())
        keys, trusted = self.folder / "connect.p12", self.folder / "connect-trusted.p12"
        assert isinstance(key, EllipticCurvePrivateKey)
        keys.write_bytes(pkcs12.serialize_key_and_certificates(b"connect", key, certificate, between, sealed))
        authority = x509.load_pem_x509_certificate(self.authority.cert_pem.bytes())
        entry = pkcs12.PKCS12Certificate(authority, b"authority")
        trusted.write_bytes(pkcs12.serialize_java_truststore([entry], sealed))
        return keys, trusted

    def grant(self, user: str, rights: Iterable[Right]) -> None:
        """The user has these rights from now on."""
        bindings = [_binding(user, right) for right in rights]
        for future in self.admin.create_acls(bindings).values():
            future.result(10)
        self._until(lambda: all(self._has(binding) for binding in bindings))

    def revoke(self, user: str, right: Right) -> None:
        """The user has the right no more."""
        binding = _binding(user, right)
        for future in self.admin.delete_acls([_filter(binding)]).values():
            assert len(future.result(10)) == 1
        self._until(lambda: not self._has(binding))

    def _has(self, binding: AclBinding) -> bool:
        # Asked of the broker that decides, so that it has taken the change in when it answers.
        found: list[AclBinding] = self.admin.describe_acls(_filter(binding)).result(10)
        return bool(found)

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.02)


RESOURCES = {
    TOPIC: ResourceType.TOPIC,
    GROUP: ResourceType.GROUP,
    TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID,
}


def _binding(user: str, right: Right) -> AclBinding:
    pattern = ResourcePatternType.PREFIXED if right.is_prefix else ResourcePatternType.LITERAL
    operation = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", right.operation).upper()
    return AclBinding(
        RESOURCES[right.resource],
        right.name,
        pattern,
        f"User:{user}",
        "*",
        AclOperation[operation],
        AclPermissionType.ALLOW,
    )


def _filter(binding: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )


@contextmanager
def secured_stack(data_dir: Path) -> Iterator[Secured]:
    """A secured stack that ends with the context."""
    folder = data_dir.parent / "keys"
    folder.mkdir(parents=True)
    authority, stranger = trustme.CA(), trustme.CA()
    now = dt.datetime.now(dt.UTC)
    day = dt.timedelta(days=1)
    certificates = {
        "secured": authority.issue_cert(HOST, "localhost"),
        "elsewhere": authority.issue_cert("kafka.example.com"),
        "expired": authority.issue_cert(HOST, not_before=now - 2 * day, not_after=now - day),
        "mutual": authority.issue_cert(HOST),
    }
    lines: list[str] = []
    ca_file, other_ca_file = folder / "ca.pem", folder / "other-ca.pem"
    for name, certificate in certificates.items():
        keystore = folder / f"{name}.pem"
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        keystore.write_bytes(_pkcs8(certificate.private_key_pem.bytes()) + chain)
        lines += [
            f"listener.name.{name}.ssl.keystore.type=PEM",
            f"listener.name.{name}.ssl.keystore.location={keystore}",
        ]
        if name == "mutual":
            lines += [
                f"listener.name.{name}.ssl.client.auth=required",
                f"listener.name.{name}.ssl.truststore.type=PEM",
                f"listener.name.{name}.ssl.truststore.location={ca_file}",
                # The subject of a certificate is CN=worker,O=Shop,...; in the access rules it is worker.
                f"listener.name.{name}.ssl.principal.mapping.rules=RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
            ]
            continue
        lines += [
            f"listener.name.{name}.sasl.enabled.mechanisms=SCRAM-SHA-512",
            f"listener.name.{name}.scram-sha-512.sasl.jaas.config={SCRAM} required;",
        ]
    authority.cert_pem.write_to_path(str(ca_file))
    stranger.cert_pem.write_to_path(str(other_ca_file))
    addresses = {name: f"{HOST}:{free_port()}" for name in LISTENERS}
    data_dir.mkdir(parents=True)
    # The ports of the stack are chosen when it starts; its own settings name them, so they are read from there.
    settings = "\n".join(lines) + "\n"
    registry_port = free_port()
    registry_options = _registry_options(folder, authority, registry_port)
    with (
        _running(data_dir, addresses, settings, registry_options) as stack,
        _proxy(authority, stack.ports.registry) as proxy_port,
    ):
        admin = AdminClient({"bootstrap.servers": stack.bootstrap_servers, "log_level": 0})
        yield Secured(
            stack,
            addresses,
            ca_file,
            other_ca_file,
            folder,
            admin,
            authority,
            stranger,
            registry_port,
            proxy_port,
            free_port(),
        )


def _registry_options(folder: Path, authority: trustme.CA, port: int) -> tuple[str, ...]:
    certificate = authority.issue_cert(HOST)
    key, chain = folder / "registry.key", folder / "registry.pem"
    key.write_bytes(_pkcs8(certificate.private_key_pem.bytes()))
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    return (
        f"-Dquarkus.http.ssl-port={port}",
        f"-Dquarkus.http.ssl.certificate.files={chain}",
        f"-Dquarkus.http.ssl.certificate.key-files={key}",
    )


class _Forward(BaseHTTPRequestHandler):
    """Hands each request on to the registry. Whether it wants client certificates was decided when it was built."""

    port: ClassVar[int]

    def do_GET(self) -> None:
        self._forward()

    def do_POST(self) -> None:
        self._forward()

    def do_PUT(self) -> None:
        self._forward()

    def _forward(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        connection = HTTPConnection(HOST, self.port, timeout=30)
        connection.request(self.command, self.path, body or None, dict(self.headers.items()))
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", ""))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Nothing: tests look at what the client says."""


@contextmanager
def _proxy(authority: trustme.CA, registry_port: int) -> Iterator[int]:
    """The port of a proxy with TLS that lets only those through who show a certificate of the authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(HOST).configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    handler = type("Forward", (_Forward,), {"port": registry_port})
    server = ThreadingHTTPServer((HOST, 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def _running(
    data_dir: Path, addresses: dict[str, str], settings: str, registry_options: tuple[str, ...]
) -> Iterator[Stack]:
    from orchestrator.stack.record import open_record

    ports = open_record(data_dir).ports
    listeners = ",".join(f"{name.upper()}://{address}" for name, address in addresses.items())
    protocols = ",".join(f"{name.upper()}:{'SSL' if name == 'mutual' else 'SASL_SSL'}" for name in addresses)
    head = SETTINGS.format(
        host=HOST, plain=ports.broker, controller=ports.controller, listeners=listeners, protocols=protocols
    )
    with running_stack(data_dir, broker_settings=head + settings, registry_options=registry_options) as stack:
        yield stack


def _pkcs8(pem: bytes) -> bytes:
    """The key in the only form that Kafka reads."""
    key = load_pem_private_key(pem, None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
