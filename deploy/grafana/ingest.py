"""The dashboard of `orchestrator ingest`."""

from __future__ import annotations

from deploy.grafana.panels import INSTANCE, JOB, Dashboard, Panel, Query, quantiles, rate, resources

REQUESTS, SECONDS = "orchestrator_ingest_requests_total", "orchestrator_ingest_request_seconds"
LOST, UNCONFIRMED = "orchestrator_ingest_lost_events_total", "orchestrator_ingest_unconfirmed_events_total"


def in_a_day(metric: str) -> str:
    """How many within the last day, of all endpoints together."""
    return f"sum(increase({metric}{{{JOB}}}[1d]))"


def used(name: str) -> Query:
    """The share of a limit that is used, by endpoint."""
    of = "records" if name == "in_flight" else "bytes"
    metric = f"orchestrator_ingest_{name}"
    share = f"{metric}_{of}{{{INSTANCE}}} / {metric}_max_{of}{{{INSTANCE}}}"
    return Query(share, f"{'events' if of == 'records' else 'bodies'} {{{{instance}}}}")


INGEST = Dashboard(
    "orchestrator-ingest",
    "Orchestrator: events over HTTP",
    (
        (
            Panel(
                "Endpoints",
                "Those that answer.",
                (Query(f"count(orchestrator_ingest_build_info{{{JOB}}})"),),
                kind="stat",
            ),
            Panel(
                "Endpoints without a broker",
                "They answer 503 to whoever sends events.",
                (Query(f"count(orchestrator_ingest_broker_up{{{JOB}}} == 0) or vector(0)"),),
                kind="stat",
            ),
            Panel(
                "Events in the last day",
                "Acknowledged by the broker.",
                (Query(in_a_day("orchestrator_ingest_events_total")),),
                kind="stat",
            ),
            Panel(
                "Lost in the last day",
                "Clicks and openings that were answered while no broker took their events.",
                (Query(in_a_day(LOST)),),
                kind="stat",
            ),
            Panel(
                "Unconfirmed in the last day",
                "Events that a broker was given and did not acknowledge; their senders come again.",
                (Query(in_a_day(UNCONFIRMED)),),
                kind="stat",
            ),
            Panel(
                "Versions",
                "Of the program: one, but during a roll-out.",
                (Query(f"count by (version) (orchestrator_ingest_build_info{{{JOB}}})", "{{version}}"),),
                kind="stat",
            ),
        ),
        (
            Panel(
                "Requests, by outcome",
                "accepted, answered and redirected are as it should be; limited and unavailable come again.",
                (Query(rate(REQUESTS, INSTANCE, "outcome"), "{{outcome}}"),),
                unit="reqps",
                is_stacked=True,
            ),
            Panel(
                "Requests, by route",
                "Events, receipts of providers, links.",
                (Query(rate(REQUESTS, INSTANCE, "route"), "{{route}}"),),
                unit="reqps",
                is_stacked=True,
            ),
        ),
        (
            Panel(
                "Time to answer events",
                "From a request's head to its answer, the broker's acknowledgement included.",
                quantiles(SECONDS, f'{INSTANCE}, route="events"'),
                unit="s",
            ),
            Panel(
                "Time to answer, by route",
                "What one in twenty exceeds.",
                (
                    Query(
                        f"histogram_quantile(0.95, {rate(f'{SECONDS}_bucket', INSTANCE, 'le', 'route')})", "{{route}}"
                    ),
                ),
                unit="s",
            ),
        ),
        (
            Panel(
                "Used of what may wait",
                "Events that wait for the broker, and bodies that are not answered yet. Full means 503.",
                (used("in_flight"), used("held")),
                unit="percentunit",
            ),
            Panel(
                "Told to come again",
                "429: a token's rate is used up, or a stranger comes too often. 503: no broker, or too much waits.",
                (
                    Query(
                        rate(REQUESTS, f'{INSTANCE}, outcome=~"limited|unavailable"', "route", "outcome"),
                        "{{route}} {{outcome}}",
                    ),
                ),
                unit="reqps",
            ),
            Panel(
                "Lost and unconfirmed",
                "By type, where it is known.",
                (
                    Query(rate(LOST, INSTANCE, "type"), "lost {{type}}"),
                    Query(rate(UNCONFIRMED, INSTANCE, "instance"), "unconfirmed {{instance}}"),
                ),
                unit="eps",
            ),
        ),
        (
            Panel(
                "Events, by type",
                "Acknowledged, the ten most frequent.",
                (Query(f"topk(10, {rate('orchestrator_ingest_events_total', INSTANCE, 'type')})", "{{type}}"),),
                unit="eps",
            ),
            Panel(
                "Receipts, by provider",
                "Ignored are of no kind that is wanted; unusable have no customer, or no time.",
                (
                    Query(
                        rate("orchestrator_ingest_receipts_total", INSTANCE, "provider", "outcome"),
                        "{{provider}} {{outcome}}",
                    ),
                ),
                unit="eps",
            ),
            Panel(
                "Bad signatures, by provider",
                "Webhooks that were refused. All of a provider's: its secret is another one.",
                (Query(rate("orchestrator_ingest_bad_signatures_total", INSTANCE, "provider"), "{{provider}}"),),
                unit="reqps",
            ),
        ),
        resources("endpoint"),
    ),
    processes="orchestrator_ingest_build_info",
    is_about_journeys=False,
)
