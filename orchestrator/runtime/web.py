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
from orchestrator.runtime.brokers import hint_for_trust, tls_context
from orchestrator.runtime.settings import is_loopback


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would take the password along to wherever it leads."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None is followed: the answer is the redirect itself."""


@dataclass(frozen=True, slots=True)
class WebService:
    """A REST interface: where it is (`base`, without a password), and what each request carries."""

    base: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca_file: str = ""

    def opener(self) -> urllib.request.OpenerDirector:
        """Opens requests to it. Raises: EnvironmentProblem if the file of authorities cannot be used."""
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if self.base.startswith("https:"):
            handlers.append(urllib.request.HTTPSHandler(context=tls_context(self.ca_file)))
        return urllib.request.build_opener(*handlers)


def web_service(
    url: str, *, what: str, option: str, username: str = "", password: str = "", ca_file: str = ""
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
    if not name:
        return WebService(base, ca_file=ca_file)
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise EnvironmentProblem(
            f"the password for {what} at {base} would be sent in plain text", hint=f"use https in {option}"
        )
    pair = base64.b64encode(f"{name}:{secret}".encode()).decode()
    return WebService(base, {"Authorization": f"Basic {pair}"}, ca_file)


def connection_problem(what: str, base: str, error: Exception | str, *, hint: str) -> tuple[str, str]:
    """(what is wrong, what to do) where a request failed on its way."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        words = reason.verify_message.rstrip(".")
        return f"{what} at {base} cannot be trusted: {words}", hint_for_trust(words)
    if isinstance(reason, ssl.SSLError):
        return f"{what} at {base} does not answer: {reason.reason or 'no secure connection'}", hint
    shown = str(reason) or type(error).__name__
    return f"{what} at {base} does not answer: {shown}", hint


REACHED_BY = (OSError, http.client.HTTPException)
"""What a request can fail with on its way."""
