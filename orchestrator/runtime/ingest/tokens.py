"""Who may send events: bearer tokens, kept as digests, compared in constant time.

One line a token: NAME TOKEN, and where it may send only some event types, TYPE,TYPE. Several tokens with one name are
valid together, so that one can take over from another. Empty lines and lines that begin with # are skipped.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.model.problems import EnvironmentProblem

VARIABLE = "ORCHESTRATOR_INGEST_TOKENS"
TOKEN_CHARACTERS_MIN = 32
NAMED_ONLY = frozenset({"customer_erased"})
"""Event types that a token may send only where its line names them: what they do cannot be taken back."""

_HINT = "one line a token: NAME TOKEN [TYPE,TYPE]; a new token: openssl rand -hex 32"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SCHEME = "bearer "


@dataclass(frozen=True, slots=True)
class Client:
    """Who sends: a name for logs and metrics, and the event types that may be sent (None: all but `NAMED_ONLY`)."""

    name: str
    types: frozenset[str] | None

    def may_send(self, event_type: str) -> bool:
        """Whether the token's line allows this event type."""
        return event_type not in NAMED_ONLY if self.types is None else event_type in self.types


@dataclass(frozen=True, slots=True)
class Tokens:
    """The valid tokens' digests, each with its client."""

    digests: tuple[tuple[bytes, Client], ...]

    def client(self, authorization: str) -> Client | None:
        """Who sent this Authorization header; None for nobody. Takes as long for a wrong token as for a right one."""
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            return None
        given = _digest(authorization[len(_SCHEME) :].strip())
        found = None
        for digest, client in self.digests:
            if hmac.compare_digest(digest, given):
                found = client
        return found


def read_tokens(path: str, environment: Mapping[str, str] = os.environ) -> Tokens:
    """The tokens of the file, or without one of the environment's variable.

    Raises: EnvironmentProblem if a line is none, or a file has none; the message never holds a token.
    """
    source = path or VARIABLE
    if path:
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise EnvironmentProblem(f"the tokens in {path} cannot be read: {type(error).__name__}") from error
    else:
        text = environment.get(VARIABLE, "")
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    if path and not lines:
        raise EnvironmentProblem(f"there is no token in {path}", hint=_HINT)
    return Tokens(tuple(_token(words, f"token {number} of {source}") for number, words in enumerate(lines, 1)))


def _token(words: Sequence[str], place: str) -> tuple[bytes, Client]:
    if len(words) not in {2, 3} or not _NAME.fullmatch(words[0]):
        raise EnvironmentProblem(f"{place} is not written as it must be", hint=_HINT)
    if len(words[1]) < TOKEN_CHARACTERS_MIN:
        raise EnvironmentProblem(f"{place} is shorter than {TOKEN_CHARACTERS_MIN} characters", hint=_HINT)
    types = frozenset(name for name in words[2].split(",") if name) if len(words) == 3 else None
    return _digest(words[1]), Client(words[0], types)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
