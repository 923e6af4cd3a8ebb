"""From settings to the ways out of this process: brokers and registry, with passwords from the environment or files."""

from __future__ import annotations

import functools
import logging
from pathlib import Path

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.schemas import Registry
from orchestrator.runtime.settings import Settings, is_plain_abroad
from orchestrator.runtime.tls import Tls
from orchestrator.runtime.web import web_service

log = logging.getLogger(__name__)


def brokers_of(settings: Settings) -> Brokers:
    """The brokers, and who this process says it is.

    Raises: EnvironmentProblem if a file of secrets or certificates cannot be used.
    """
    signs_in = settings.security_protocol.startswith("sasl_")
    brokers = Brokers(
        settings.bootstrap_servers,
        protocol=settings.security_protocol,
        mechanism=settings.sasl_mechanism,
        username=settings.sasl_username if signs_in else "",
        password=secret(settings.sasl_password, settings.sasl_password_file, "sasl-password") if signs_in else "",
        ca_file=settings.ssl_ca_file,
        certificate_file=settings.ssl_certificate_file,
        key_file=settings.ssl_key_file,
        key_password=secret(settings.ssl_key_password, settings.ssl_key_password_file, "ssl-key-password"),
    )
    if is_plain_abroad(settings):
        _say_open(settings.bootstrap_servers)
    # The client's own words for a file that it cannot use are hard to read, and come as a crash.
    brokers.tls()
    return brokers


def registry_of(settings: Settings) -> Registry:
    """The schema registry. Raises: EnvironmentProblem if its address or a file of secrets cannot be used."""
    password = secret(settings.registry_password, settings.registry_password_file, "registry-password")
    return Registry(
        web_service(
            settings.registry_url,
            what="the schema registry",
            option="--registry-url",
            username=settings.registry_username,
            password=password,
            tls=_registry_tls(settings),
        )
    )


def _registry_tls(settings: Settings) -> Tls:
    """As for brokers, unless it is said otherwise for the registry."""
    ca_file = settings.registry_ca_file or settings.ssl_ca_file
    if settings.registry_certificate_file:
        password = secret(settings.registry_key_password, settings.registry_key_password_file, "registry-key-password")
        return Tls(ca_file, settings.registry_certificate_file, settings.registry_key_file, password, "--registry")
    if not settings.registry_url.startswith("https:"):
        # The brokers' certificate is for whoever asks for it over TLS.
        return Tls(ca_file, options="--registry")
    password = secret(settings.ssl_key_password, settings.ssl_key_password_file, "ssl-key-password")
    return Tls(ca_file, settings.ssl_certificate_file, settings.ssl_key_file, password, "--registry")


@functools.cache
def _say_open(servers: str) -> None:
    # Once for each process, though many of its parts reach out.
    log.warning(
        "what is sent to the brokers at %s can be read on its way, and nobody signs in: set --security-protocol",
        servers,
    )


def secret(value: str, file: str, option: str) -> str:
    """The secret itself, or what its file holds without the end of its line.

    Raises: EnvironmentProblem if the file cannot be read or is empty.
    """
    if not file:
        return value
    try:
        found = Path(file).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not text"
        raise EnvironmentProblem(
            f"the file {file} of --{option}-file cannot be read: {why}",
            hint="it holds the password alone; may this user read it?",
        ) from None
    if not found:
        raise EnvironmentProblem(f"the file {file} of --{option}-file is empty", hint="it holds the password alone")
    return found
