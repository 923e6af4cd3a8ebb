"""The endpoint put together: every route, with the secrets that it was given."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from orchestrator.authoring.event_values import EventShape
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.ingest import events, receipts, tracking
from orchestrator.runtime.ingest.buckets import Buckets
from orchestrator.runtime.ingest.endpoint import Clock, Strangers, Traffic, new_application
from orchestrator.runtime.ingest.events import EventLog, EventRoute
from orchestrator.runtime.ingest.links import LinkKey, read_link_keys
from orchestrator.runtime.ingest.observing import IngestMetrics
from orchestrator.runtime.ingest.providers import Provider, read_providers
from orchestrator.runtime.ingest.receipts import ReceiptRoute
from orchestrator.runtime.ingest.settings import IngestSettings
from orchestrator.runtime.ingest.tokens import Tokens, read_tokens
from orchestrator.runtime.ingest.tracking import CUSTOMER_BURST, CUSTOMER_RATE, LinkRoutes
from orchestrator.runtime.produce import Route

ROUTES = (events.ROUTE, receipts.ROUTE, tracking.CLICK, tracking.OPEN, tracking.UNSUBSCRIBE)


@dataclass(frozen=True, slots=True)
class Secrets:
    """Whom to believe: clients' tokens, providers' secrets, the keys of our own links."""

    tokens: Tokens
    providers: Mapping[str, Provider]
    link_keys: Mapping[str, LinkKey]


def read_secrets(settings: IngestSettings, environment: Mapping[str, str] = os.environ) -> Secrets:
    """The secrets from files and the environment.

    Raises: EnvironmentProblem if one is not as it must be, or there is none at all.
    """
    tokens = read_tokens(settings.ingest_tokens_file, environment)
    providers = read_providers(settings.ingest_providers, environment)
    link_keys = read_link_keys(settings.ingest_link_keys_file, environment)
    signed = [provider for provider in providers.values() if not provider.mapping.sealed]
    if not (tokens.digests or signed or link_keys):
        raise EnvironmentProblem(
            "nobody could send anything: there is no token, no provider's secret and no key of links",
            hint="set --ingest-tokens-file, or ORCHESTRATOR_INGEST_TOKENS",
        )
    # Whose address is sealed is believed by the key it is sealed with.
    believed = {name: one for name, one in providers.items() if link_keys or not one.mapping.sealed}
    return Secrets(tokens, believed, link_keys)


def writable_shapes(shapes: Mapping[str, EventShape], routes: Mapping[str, Route]) -> dict[str, EventShape]:
    """The shapes of those events that have a topic to go to."""
    return {name: shape for name, shape in shapes.items() if name in routes and routes[name].topic}


def check_events(secrets: Secrets, shapes: Mapping[str, EventShape]) -> None:
    """Whether what links and receipts say can be written.

    Raises: EnvironmentProblem if a schema is missing, or has not the fields. Found out only when somebody signs off, it
    would be too late.
    """
    needed = [("links", name, fields, fields) for name, fields in tracking.EVENTS.items() if secrets.link_keys]
    for provider in secrets.providers.values():
        for receipt in provider.mapping.receipts:
            own = frozenset((*receipt.constant, *receipt.take))
            needed.append((f"provider {provider.name}", receipt.event, own, own | receipts.KNOWN))
    for who, name, fields, given in needed:
        shape = shapes.get(name)
        if shape is None:
            raise EnvironmentProblem(
                f"{who} cannot be served: no schema with a topic describes {name}",
                hint=f"copy {name}.avsc from the schemas that ship, or leave out the keys or the secret",
            )
        required = {field.name for field in shape.fields.values() if field.is_required}
        wrong = sorted(fields - shape.fields.keys()) or sorted(required - given)
        if wrong:
            raise EnvironmentProblem(
                f"{who} cannot be served: the schema of {name} and what is said differ in {', '.join(wrong)}",
                hint=f"compare {name}.avsc with the one that ships",
            )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The application, and what has to be waited for before the process ends."""

    application: web.Application
    traffic: Traffic
    links: LinkRoutes


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the endpoint works with: what events look like, where they go, who counts, and what time it is."""

    shapes: Mapping[str, EventShape]
    log: EventLog
    metrics: IngestMetrics
    clock: Clock = time.monotonic
    wall: Clock = field(default=time.time)


def assemble(settings: IngestSettings, secrets: Secrets, around: Surroundings) -> Endpoint:
    """The endpoint, to be called from within its event loop."""
    traffic = Traffic()
    around.metrics.expect(
        secrets.providers,
        in_flight_max=settings.ingest_in_flight_max,
        held_bytes_max=settings.ingest_held_bytes_max,
    )
    application = new_application(settings, around.metrics, traffic, clock=around.clock)
    hops = settings.ingest_forwarded_hops
    strangers = Strangers(hops=hops, clock=around.clock)
    customers = Buckets(rate=CUSTOMER_RATE, burst=CUSTOMER_BURST)
    buckets = Buckets(rate=settings.ingest_rate, burst=settings.ingest_burst)
    EventRoute(
        settings, around.metrics, secrets.tokens, around.shapes, around.log, strangers, buckets, around.clock
    ).add_to(application)
    ReceiptRoute(
        settings,
        around.metrics,
        secrets.providers,
        around.shapes,
        around.log,
        strangers,
        around.wall,
        keys=secrets.link_keys,
    ).add_to(application)
    links = LinkRoutes(around.metrics, secrets.link_keys, around.log, strangers, customers, around.clock, around.wall)
    links.add_to(application)
    return Endpoint(application, traffic, links)
