"""Is this webhook the provider's, and sent now? HMAC-SHA256 over what the provider signs, within a tolerance.

Source: the scheme that webhooks share, whatever their headers are called: a timestamp and the body, joined and signed
with a secret that both sides have. Where a provider signs no timestamp, a replay cannot be told from the first
delivery; its events have the same ids, so workers drop them.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

TIMESTAMP, BODY, ID = "{timestamp}", "{body}", "{id}"
STAMP_CHARACTERS_MAX = 32


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a provider signs.

    `header` holds the signature, or several with spaces or commas between them, each after `prefix`; `encoding` is hex
    or base64. `signed` is what is signed, with `{timestamp}`, `{id}` and `{body}` for the headers' values and the body.
    """

    header: str
    secret: bytes = field(repr=False)
    encoding: str = "hex"
    prefix: str = ""
    signed: str = BODY
    timestamp_header: str = ""
    id_header: str = ""
    tolerance_s: int = 300


def refusal(scheme: Scheme, headers: Mapping[str, str], body: bytes, now_s: float) -> str:
    """Why the request is not to be believed, in words without anything of it; "" if it is."""
    given = headers.get(scheme.header, "")
    if not given:
        return f"there is no header {scheme.header}"
    stamp = headers.get(scheme.timestamp_header, "") if scheme.timestamp_header else ""
    wanted = hmac.digest(scheme.secret, _signed(scheme, stamp, headers.get(scheme.id_header, ""), body), "sha256")
    found = False
    for part in given.replace(",", " ").split() if not scheme.prefix.endswith(",") else given.split():
        if part.startswith(scheme.prefix):
            decoded = _decoded(part[len(scheme.prefix) :], scheme.encoding)
            # Every one is looked at, however early one fits.
            found |= hmac.compare_digest(decoded, wanted)
    if not found:
        return "the signature is not the secret's"
    if scheme.timestamp_header:
        if not stamp.isascii() or not stamp.isdigit() or len(stamp) > STAMP_CHARACTERS_MAX:
            return f"the header {scheme.timestamp_header} is not a time in seconds"
        if abs(now_s - int(stamp)) > scheme.tolerance_s:
            return "it was signed too long ago, or in the future"
    return ""


def sign(scheme: Scheme, stamp: str, body: bytes, message_id: str = "") -> str:
    """The header's value, as the provider would write it."""
    digest = hmac.new(scheme.secret, _signed(scheme, stamp, message_id, body), hashlib.sha256).digest()
    text = digest.hex() if scheme.encoding == "hex" else base64.b64encode(digest).decode()
    return scheme.prefix + text


def _signed(scheme: Scheme, stamp: str, message_id: str, body: bytes) -> bytes:
    before, _, after = scheme.signed.partition(BODY)
    filled = [part.replace(TIMESTAMP, stamp).replace(ID, message_id) for part in (before, after)]
    return filled[0].encode("utf-8", "replace") + body + filled[1].encode("utf-8", "replace")


def _decoded(text: str, encoding: str) -> bytes:
    try:
        return bytes.fromhex(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""
