"""What the endpoint answers: JSON that says what is wrong, and when to come back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import ceil
from typing import Any

from aiohttp import web

from orchestrator.runtime.ingest.reading import BodyProblem

RETRY_S = 1
"""What Retry-After says where nothing better is known."""


def problem(status: int, text: str, hint: str = "", *, headers: Mapping[str, str] | None = None) -> web.Response:
    """One problem with the request as a whole."""
    return problems(status, [BodyProblem(None, "", text, hint)], headers=headers)


def problems(status: int, found: Sequence[BodyProblem], *, headers: Mapping[str, str] | None = None) -> web.Response:
    """Everything that is wrong; nothing of the request was accepted."""
    shown = [{name: value for name, value in asdict(one).items() if value not in {None, ""}} for one in found]
    return answer(status, {"accepted": 0, "problems": shown}, headers=headers)


def later(status: int, text: str, seconds: float) -> web.Response:
    """Not now: the sender keeps what it has and sends it again."""
    return problem(
        status,
        text,
        "send the whole request again after Retry-After: what is on the broker already is recognised",
        headers={"Retry-After": str(max(RETRY_S, ceil(seconds)))},
    )


def answer(status: int, value: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> web.Response:
    """JSON that nobody keeps."""
    return web.Response(
        status=status,
        body=json.dumps(value).encode() + b"\n",
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
