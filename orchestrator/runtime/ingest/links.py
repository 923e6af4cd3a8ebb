"""Links in messages: tokens that say whose click it is, and that nobody else can read, make or change.

A token is `KEY.SEALED`: the key's name, and the contents under AES-256-GCM in base64url. What it is for (a click, an
opening, a signing off, receipts) is authenticated with it, so that one cannot be used as another. The nonce is an HMAC
of the contents: the same contents give the same token, and different ones give different nonces, save by a chance of
one in 2**96. `LinkKey.java` of the sinks makes the same tokens.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from orchestrator.model.problems import EnvironmentProblem

VARIABLE = "ORCHESTRATOR_LINK_KEYS"
KEY_BYTES = 32
NONCE_BYTES = 12
TOKEN_CHARACTERS_MAX = 4_000

Kind = Literal["c", "o", "u", "r"]
"""A click, an opening, a signing off: also the first part of the address. And r: where receipts of a message go."""

_HINT = "one key a line: NAME HEX, 64 hex digits; a new key: openssl rand -hex 32"
_LINE = re.compile(r"([a-z0-9]{1,16})\s+([0-9A-Fa-f]{64})")
_TOKEN = re.compile(r"([a-z0-9]{1,16})\.([A-Za-z0-9_-]+)")


class Link(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a token says: whose message it is in, which one, on which channel; where a click leads; which consent a
    signing off takes back ("": the channel's).
    """

    customer_id: str = msgspec.field(name="c")
    action_id: str = msgspec.field(name="a")
    channel: str = msgspec.field(name="h")
    url: str = msgspec.field(name="u", default="")
    consent: str = msgspec.field(name="p", default="")


@dataclass(frozen=True, slots=True)
class LinkKey:
    """A key by name. Its two uses have keys of their own, made from it."""

    name: str
    secret: bytes = field(repr=False)

    @property
    def cipher(self) -> AESGCM:
        """What contents are sealed with."""
        return AESGCM(hmac.digest(self.secret, b"seal", "sha256"))

    @property
    def nonce_key(self) -> bytes:
        """What nonces are made with."""
        return hmac.digest(self.secret, b"nonce", "sha256")


def read_link_keys(path: str, environment: Mapping[str, str] = os.environ) -> dict[str, LinkKey]:
    """The keys of the file, or without one of the environment's variable, by name; none if there is neither.

    Raises: EnvironmentProblem if a line is no key; the message never holds one.
    """
    text = environment.get(VARIABLE, "")
    if path:
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EnvironmentProblem(f"the keys in {path} cannot be read: {type(error).__name__}") from error
    keys = {}
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    for number, line in enumerate(lines, 1):
        found = _LINE.fullmatch(line)
        if found is None:
            raise EnvironmentProblem(f"key {number} of {path or VARIABLE} is not written as it must be", hint=_HINT)
        keys[found[1]] = LinkKey(found[1], bytes.fromhex(found[2]))
    return keys


def seal(key: LinkKey, kind: Kind, link: Link) -> str:
    """The token."""
    contents = msgspec.json.encode(link)
    nonce = hmac.digest(key.nonce_key, kind.encode() + contents, "sha256")[:NONCE_BYTES]
    sealed = nonce + key.cipher.encrypt(nonce, contents, kind.encode())
    return f"{key.name}.{base64.urlsafe_b64encode(sealed).rstrip(b'=').decode()}"


def unseal(keys: Mapping[str, LinkKey], kind: Kind, token: str) -> Link | None:
    """What the token says; None if it is not one of ours, or not for this use."""
    found = _TOKEN.fullmatch(token) if len(token) <= TOKEN_CHARACTERS_MAX else None
    key = keys.get(found[1]) if found is not None else None
    if found is None or key is None:
        return None
    try:
        sealed = base64.urlsafe_b64decode(found[2] + "=" * (-len(found[2]) % 4))
        if len(sealed) <= NONCE_BYTES:
            return None
        contents = key.cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], kind.encode())
        return msgspec.json.decode(contents, type=Link)
    except (InvalidTag, binascii.Error, ValueError, msgspec.MsgspecError):
        return None
