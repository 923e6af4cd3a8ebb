"""The endpoint in this process, with a log that remembers instead of a broker, and a clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.authoring.event_values import event_shapes
from orchestrator.model.events import Event
from orchestrator.resources import deploy_dir, schemas_dir
from orchestrator.runtime.ingest.assembly import ROUTES, Endpoint, Secrets, Surroundings, assemble
from orchestrator.runtime.ingest.links import LinkKey
from orchestrator.runtime.ingest.observing import IngestMetrics
from orchestrator.runtime.ingest.providers import read_providers
from orchestrator.runtime.ingest.settings import IngestSettings
from orchestrator.runtime.ingest.tokens import Client, Tokens, read_tokens

TOKEN = "t" * 32
NARROW_TOKEN = "n" * 32
SHAPES = event_shapes(load_event_types(schemas_dir() / "events"))
TOKENS: Tokens = read_tokens(
    "",
    {
        "ORCHESTRATOR_INGEST_TOKENS": f"# the shop, and one that may say only that an app is there\n"
        f"shop {TOKEN}\napps {NARROW_TOKEN} app_installed,customer_erased\n"
    },
)
ANYBODY = Client("anybody", None)

LINK_KEY = LinkKey("k1", bytes(range(32)))
PROVIDER_SECRETS = {
    "INGEST_SECRET_GENERIC": "g" * 32,
    "INGEST_SECRET_RESEND": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "INGEST_SECRET_WHATSAPP": "w" * 32,
    "INGEST_VERIFY_WHATSAPP": "v" * 16,
}
PROVIDERS = read_providers(str(deploy_dir() / "ingest"), PROVIDER_SECRETS)
SCHEMES = {name: provider.scheme for name, provider in PROVIDERS.items() if provider.scheme is not None}
"""Of those that sign."""

SECRETS = Secrets(TOKENS, PROVIDERS, {LINK_KEY.name: LINK_KEY})
WALL_S = 1_772_442_000.0
"""2026-03-02T09:00:00Z, to which the clock's reading is added."""

Send = TestClient[Request, Application]


@dataclass
class RememberingLog:
    """What was published; `refusal` is raised instead where it is set."""

    events: list[Event] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    refusal: Exception | None = None

    async def publish(self, events: Sequence[Event], *, trace: str = "") -> None:
        if self.refusal is not None:
            raise self.refusal
        self.events += events
        self.traces.append(trace)


@dataclass
class Served:
    """The endpoint's parts that a test looks at or turns."""

    log: RememberingLog = field(default_factory=RememberingLog)
    now_s: float = 1_000.0
    settings: IngestSettings = field(default_factory=IngestSettings)
    metrics: IngestMetrics = field(default_factory=lambda: IngestMetrics(ROUTES))
    secrets: Secrets = field(default_factory=lambda: SECRETS)

    def endpoint(self) -> Endpoint:
        around = Surroundings(SHAPES, self.log, self.metrics, self.clock, self.wall)
        return assemble(self.settings, self.secrets, around)

    def clock(self) -> float:
        return self.now_s

    def wall(self) -> float:
        return WALL_S + self.now_s

    def run(self, test: Callable[[Send], Awaitable[Any]]) -> Any:
        """What the test gives, with a client that speaks to the endpoint over a socket."""

        async def run() -> Any:
            endpoint = self.endpoint()
            async with TestClient(TestServer(endpoint.application)) as client:
                given = await test(client)
                await endpoint.links.until_followed()
                return given

        return asyncio.run(run())


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def installed(**fields: Any) -> dict[str, Any]:
    """A good event, with some fields otherwise."""
    return {
        "type": "app_installed",
        "customer_id": "anna",
        "occurred_at": "2026-03-02T09:00:00Z",
        "platform": "android",
        **fields,
    }
