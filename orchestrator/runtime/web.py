"""The one way to REST interfaces (schema registry, Kafka Connect): who this process says it is, and whom it trusts."""

from __future__ import annotations

import base64
import http.client
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.settings import is_loopback
from orchestrator.runtime.tls import Tls


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would take the password along to wherever it leads."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None is followed: the answer is the redirect itself."""


@dataclass(frozen=True, slots=True)
class WebService:
    """A REST interface: where it is (`base`, without a password), and what each request carries."""

    base: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    tls: Tls = field(default_factory=Tls)

    @property
    def is_secured(self) -> bool:
        """Whether TLS is spoken with it."""
        return self.base.startswith("https:")

    def opener(self) -> urllib.request.OpenerDirector:
        """Opens requests to it. Raises: EnvironmentProblem if a file of certificates cannot be used."""
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if self.is_secured:
            handlers.append(urllib.request.HTTPSHandler(context=self.tls.context()))
        return urllib.request.build_opener(*handlers)


def web_service(
    url: str, *, what: str, option: str, username: str = "", password: str = "", tls: Tls | None = None
) -> WebService:
    """The service at this address; a name and a password before its host count unless others are given.

    Raises: EnvironmentProblem if the address is none, or a password would be sent where everybody can read it.
    """
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise EnvironmentProblem(f"the address of {what} is not an http(s) address", hint=f"set {option}")
    name = username or urllib.parse.unquote(parts.username or "")
    secret = password if username else urllib.parse.unquote(parts.password or "")
    place = parts.netloc.rpartition("@")[2]
    base = urllib.parse.urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))
    tls = tls or Tls()
    if tls.certificate_file and parts.scheme == "http":
        raise EnvironmentProblem(
            f"{what} at {base} is asked without TLS, and would see no client certificate", hint=f"use https in {option}"
        )
    if not name:
        return WebService(base, tls=tls)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise EnvironmentProblem(
            f"the password for {what} at {base} would be sent in plain text", hint=f"use https in {option}"
        )
    pair = base64.b64encode(f"{name}:{secret}".encode()).decode()
    return WebService(base, {"Authorization": f"Basic {pair}"}, tls)


def connection_problem(what: str, service: WebService, error: Exception | str, *, hint: str) -> tuple[str, str]:
    """(what is wrong, what to do) where a request failed on its way."""
    reason = _cause(error)
    told = ("", "")
    if service.is_secured and isinstance(reason, CUT_OFF):
        # A server that does not accept a certificate may hang up before what it said about it was read.
        parts = urllib.parse.urlsplit(service.base)
        told = service.tls.refusal(parts.hostname or "", parts.port or http.client.HTTPS_PORT)
    elif isinstance(reason, ssl.SSLError):
        told = service.tls.told(reason)
    if told[0]:
        return f"{what} at {service.base} {told[0]}", told[1]
    if isinstance(reason, ssl.SSLError):
        said = getattr(reason, "reason", "") or str(reason) or "no secure connection"
        return f"{what} at {service.base} does not answer: {said}", hint
    return f"{what} at {service.base} does not answer: {str(reason) or type(error).__name__}", hint


def is_about_certificates(error: Exception) -> bool:
    """Whether a request failed for what one of the two sides showed, so that trying again cannot help."""
    return isinstance(_cause(error), ssl.SSLError)


def _cause(error: Exception | str) -> object:
    """What the library has wrapped: its own error has the other one as its reason. TLS's errors have a text there."""
    return error if isinstance(error, ssl.SSLError) else getattr(error, "reason", error)


CUT_OFF = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
REACHED_BY = (OSError, http.client.HTTPException)
"""What a request can fail with on its way."""
