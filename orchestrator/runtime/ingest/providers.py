"""What providers' webhooks look like: one YAML file for each provider, whose name is in the address.

signature: {header: X-Signature, variable: INGEST_SECRET_MAIL, signed: "{timestamp}.{body}", timestamp: X-Timestamp}
each: events
kind: type
occurred_at: {field: at, in: seconds}
customer_id: metadata.customer_id
action_id: metadata.action_id
channel: email
receipts:
- {kind: delivered, event: message_delivered}
- {kind: bounced, when: {class: permanent}, event: message_bounced, with: {hard: true}, take: {address: to}}
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.ingest.signatures import BODY, ID, TIMESTAMP, Scheme

SECRET_BYTES_MIN = 16
RECEIVED = "received"
"""The unit of a time that the provider does not tell: when the receipt came."""

UNITS = frozenset({"iso", "seconds", "milliseconds", RECEIVED})
RECEIPTS = frozenset(
    {
        "message_delivered",
        "message_bounced",
        "message_failed",
        "message_complained",
        "message_replied",
        "message_opened",
        "message_clicked",
        "email_opened",
        "email_clicked",
        "unsubscribed",
    }
)
"""What a provider may say: nothing else can come out of a mapping."""


class _Signature(msgspec.Struct, forbid_unknown_fields=True):
    header: str
    variable: str
    """The environment variable that holds it; or the same with _FILE, which names a file that does."""
    written_as: str = "text"
    encoding: str = "hex"
    prefix: str = ""
    signed: str = BODY
    timestamp: str = ""
    id: str = ""
    tolerance_seconds: int = 300


class _When(msgspec.Struct, forbid_unknown_fields=True):
    field: str = ""
    unit: str = msgspec.field(name="in", default="iso")


class Receipt(msgspec.Struct, forbid_unknown_fields=True):
    """What one kind of the provider's receipts is: an event, with constant fields and with fields that are taken."""

    kind: str
    event: str
    when: dict[str, str] = {}
    constant: dict[str, Any] = msgspec.field(name="with", default_factory=dict)
    take: dict[str, str] = {}


class _File(msgspec.Struct, forbid_unknown_fields=True):
    kind: str
    occurred_at: _When
    channel: str
    receipts: list[Receipt]
    signature: _Signature | None = None
    sealed: bool = False
    """Whether it is told with each message where its receipts go. The address says whose they are, and is a secret."""
    body: str = "json"
    each: str = ""
    id: str = ""
    customer_id: str = ""
    action_id: str = ""
    reference: str = ""
    verify: str = ""
    """The environment variable of the token with which the provider asks whether the address is ours (GET)."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider: how it signs, and where in its body the parts of a receipt are (paths, with `[]` for each item)."""

    name: str
    scheme: Scheme | None
    """None for one that is believed because it knows the sealed address."""
    mapping: _File
    verify_token: bytes = field(default=b"", repr=False)
    """What the provider says as it asks whether the address is ours; empty: it does not ask."""


def read_providers(directory: str, environment: Mapping[str, str] = os.environ) -> dict[str, Provider]:
    """The providers of a directory whose secret is there, or that need none, by name; none without a directory.

    Raises: EnvironmentProblem if a file is not as it must be.
    """
    if not directory:
        return {}
    files = sorted(Path(directory).glob("*.yaml"))
    if not files:
        raise EnvironmentProblem(f"there are no providers (*.yaml) in {directory}", hint="set --ingest-providers")
    found = (_provider(file, environment) for file in files)
    return {provider.name: provider for provider in found if provider is not None}


def _provider(file: Path, environment: Mapping[str, str]) -> Provider | None:
    try:
        mapping = msgspec.yaml.decode(file.read_bytes(), type=_File)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EnvironmentProblem(f"{file} is not a provider: {error}", hint="see docs/operations/ingest.md") from error
    _check(file, mapping)
    own = mapping.signature
    if own is None:
        return Provider(file.stem, None, mapping)
    text = _from_environment(own.variable, environment)
    if not text:
        # Those that ship are there for all; only whoever has the secret takes their receipts.
        return None
    secret = _secret(file, own, text)
    scheme = Scheme(
        header=own.header,
        secret=secret,
        encoding=own.encoding,
        prefix=own.prefix,
        signed=own.signed,
        timestamp_header=own.timestamp,
        id_header=own.id,
        tolerance_s=own.tolerance_seconds,
    )
    token = _from_environment(mapping.verify, environment) if mapping.verify else ""
    return Provider(file.stem, scheme, mapping, token.encode())


def _from_environment(variable: str, environment: Mapping[str, str]) -> str:
    beside = environment.get(f"{variable}_FILE", "")
    if not beside:
        return environment.get(variable, "")
    try:
        return Path(beside).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentProblem(f"the file in {variable}_FILE cannot be read: {type(error).__name__}") from error


def _check(file: Path, mapping: _File) -> None:
    unit = mapping.occurred_at.unit
    problems = {
        "either signature, or sealed: true": (mapping.signature is None) == mapping.sealed,
        "body is json or form": mapping.body in {"json", "form"},
        "occurred_at.in is iso, seconds, milliseconds or received": unit in UNITS,
        "occurred_at.field is named unless in is received": bool(mapping.occurred_at.field) == (unit != RECEIVED),
        "id is named where no time is": bool(mapping.id) or unit != RECEIVED,
        "either reference, or customer_id and action_id, or sealed": bool(mapping.reference)
        + bool(mapping.customer_id and mapping.action_id)
        + mapping.sealed
        == 1,
        **_of_signature(mapping.signature),
    }
    for receipt in mapping.receipts:
        problems[f"{receipt.event} is an event of receipts: {', '.join(sorted(RECEIPTS))}"] = receipt.event in RECEIPTS
    wrong = next((text for text, is_right in problems.items() if not is_right), None)
    if wrong is not None:
        raise EnvironmentProblem(f"{file} is not a provider: {wrong}", hint="see docs/operations/ingest.md")


def _of_signature(own: _Signature | None) -> dict[str, bool]:
    if own is None:
        return {}
    return {
        "signature.encoding is hex or base64": own.encoding in {"hex", "base64"},
        "signature.written_as is text or base64": own.written_as in {"text", "base64"},
        "signature.signed holds {body}": BODY in own.signed,
        "signature.timestamp is named where it is signed": (TIMESTAMP in own.signed) == bool(own.timestamp),
        "signature.id is named where it is signed": ID not in own.signed or bool(own.id),
        "signature.tolerance_seconds is more than 0": own.tolerance_seconds > 0,
    }


def _secret(file: Path, own: _Signature, text: str) -> bytes:
    try:
        # Some providers show their secrets with a word before them.
        bare = text.rpartition("_")[2] if own.written_as == "base64" else text
        secret = base64.b64decode(bare, validate=True) if own.written_as == "base64" else bare.encode()
    except (ValueError, binascii.Error):
        secret = b""
    if len(secret) < SECRET_BYTES_MIN:
        raise EnvironmentProblem(
            f"the secret in {own.variable} (of {file}) is too short, or no {own.written_as}",
            hint=f"at least {SECRET_BYTES_MIN} bytes, as the provider shows it",
        )
    return secret
