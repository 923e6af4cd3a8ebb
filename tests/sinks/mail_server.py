"""A mail server that keeps what it takes, and answers as the test wants."""

from __future__ import annotations

import email
import email.message
import email.policy
import socket
from collections.abc import Callable
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

OK = "250 OK"


class MailServer:
    """`mails` is what was taken, in order; `logins` are the passwords shown. The answers are to RCPT and to DATA."""

    def __init__(self, *, password: str = "") -> None:
        self.mails: list[email.message.EmailMessage] = []
        self.logins: list[str] = []
        self.attempts: list[str] = []
        self.recipient_answer: Callable[[str], str] = lambda address: OK
        self.data_answer: Callable[[str], str] = lambda address: OK
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._password = password
        self.open()

    def open(self) -> None:
        """Listens, again where it did before."""
        signing_in: dict[str, Any] = {"auth_required": True, "auth_require_tls": False, "authenticator": self._sign_in}
        self._controller = Controller(
            self, hostname="127.0.0.1", port=self.port, **(signing_in if self._password else {})
        )
        self._controller.start()

    def close(self) -> None:
        """Refuses connections from now on."""
        self._controller.stop(no_assert=True)

    def _sign_in(self, server: SMTP, session: Session, envelope: Envelope, method: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.logins.append(given.password.decode())
        return AuthResult(success=given.password.decode() == self._password)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.attempts.append(address)
        answer = self.recipient_answer(address)
        if answer == OK:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        answer = self.data_answer(envelope.rcpt_tos[0])
        if answer == OK:
            content = envelope.content
            assert isinstance(content, bytes)
            self.mails.append(email.message_from_bytes(content, policy=email.policy.default))
        return answer
