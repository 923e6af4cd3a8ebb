"""TLS as all clients speak it: whom to trust, what to show, and what is said where either side does not accept it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.model.problems import EnvironmentProblem

PROBE_S = 3.0
ALERT_S = 1.0
"""How long a server is given to say that it does not accept what it was shown; most say it at once."""

_OF_CERTIFICATES = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
"""Parts of the names of alerts by which a server says that it is about the client's certificate."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Which authorities are trusted, those of the machine if none are said, and the certificate that is shown.

    `options` is how the names of the settings begin that say so.
    """

    ca_file: str = ""
    certificate_file: str = ""
    key_file: str = ""
    key_password: str = field(default="", repr=False)
    options: str = "--ssl"

    def context(self) -> ssl.SSLContext:
        """Trusts the authorities; checks certificates and host names; shows the certificate.

        Raises: EnvironmentProblem naming the file that cannot be used.
        """
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
        except OSError as error:
            raise EnvironmentProblem(
                f"the certificates of {self.ca_file} cannot be read: {_words(error)}",
                hint=f"{self.options}-ca-file is a PEM file with the authorities to trust",
            ) from None
        if self.certificate_file:
            try:
                # Without a password a key that needs one is an error, and not a question at the terminal.
                context.load_cert_chain(self.certificate_file, self.key_file or None, lambda: self.key_password)
            except (OSError, ValueError) as error:
                raise EnvironmentProblem(
                    f"the client certificate {self.certificate_file} cannot be used: {_words(error)}",
                    hint=f"{self.options}-certificate-file and {self.options}-key-file are PEM files that belong "
                    "together; is the key's password right?",
                ) from None
        return context

    def refusal(self, host: str, port: int) -> tuple[str, str]:
        """(what is wrong, what to do) where a handshake with this server fails; "" twice if it does not, or nobody
        answers.
        """
        try:
            with (
                socket.create_connection((host, port), timeout=PROBE_S) as connection,
                self.context().wrap_socket(connection, server_hostname=host) as secured,
            ):
                # A server that does not accept a certificate says so after the handshake; one that does waits for us.
                secured.settimeout(ALERT_S)
                secured.recv(1)
        except ssl.SSLError as error:
            return self.told(error)
        except OSError:
            pass
        return "", ""

    def told(self, error: ssl.SSLError) -> tuple[str, str]:
        """(what is wrong, what to do) for a failed handshake; "" twice if it is about no certificate."""
        if isinstance(error, ssl.SSLCertVerificationError):
            words = error.verify_message.rstrip(".")
            return f"cannot be trusted: {words}", self._hint_for_trust(words)
        # Newer alerts have no name in this Python, only words.
        reason = (getattr(error, "reason", "") or str(error)).upper().replace(" ", "_")
        is_alert = "ALERT" in reason
        if is_alert and any(part in reason for part in _OF_CERTIFICATES):
            return self._not_accepted(reason)
        if is_alert and "HANDSHAKE_FAILURE" in reason and not self.certificate_file:
            return self._not_accepted(reason)
        return "", ""

    def _not_accepted(self, reason: str) -> tuple[str, str]:
        if not self.certificate_file:
            return (
                "wants to see a client certificate",
                f"set {self.options}-certificate-file, and {self.options}-key-file if the key is in another file",
            )
        said = reason.rpartition("ALERT_")[2].partition("_(")[0].replace("_", " ").lower()
        return (
            f"does not accept the client certificate {self.certificate_file}: {said}",
            f"{self.options}-certificate-file has to be of an authority that the server trusts, and not expired",
        )

    def _hint_for_trust(self, reason: str) -> str:
        if "expired" in reason:
            return "the certificate of the server needs to be renewed (or this machine's clock is wrong)"
        if "mismatch" in reason or "not valid for" in reason:
            return "use the address that the certificate is for, or give the server a certificate for this one"
        return f"name the authority that signed the server's certificate: {self.options}-ca-file"


def subject_of(certificate_file: str) -> str:
    """The subject of a certificate as brokers write it (`CN=worker,O=Shop`); "" if it cannot be read."""
    from cryptography import x509  # noqa: PLC0415  (only who has no right waits for it)

    try:
        return x509.load_pem_x509_certificate(Path(certificate_file).read_bytes()).subject.rfc4514_string()
    except (OSError, ValueError):
        return ""


def _words(error: Exception) -> str:
    reason = getattr(error, "reason", None) or getattr(error, "strerror", None)
    return str(reason or type(error).__name__)
