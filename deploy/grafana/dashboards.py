"""The dashboards, as code: `python -m deploy.grafana.dashboards` writes them to the folder beside this file."""

from __future__ import annotations

from pathlib import Path

from deploy.grafana.ingest import INGEST
from deploy.grafana.panels import (
    INSTANCE,
    JOB,
    Dashboard,
    Panel,
    Query,
    age,
    quantile_over,
    quantiles,
    rate,
    rendered,
    resources,
)

FOLDER = Path(__file__).with_name("dashboards")
JOURNEY = f'{JOB}, journey=~"$journey"'
SINKS, SINK_OUTCOME = 'job="orchestrator-connect"', "{{connector}} {{outcome}}"
DELAY, LATENESS = "orchestrator_event_delay_seconds", "orchestrator_timer_lateness_seconds"


def hourly(kind: str) -> str:
    """Transitions of this kind, by journey, over an hour: long enough for rare ones."""
    return f'sum by (journey) (rate(orchestrator_transitions_total{{{JOURNEY}, kind="{kind}"}}[1h]))'


OVERVIEW = Dashboard(
    "orchestrator-overview",
    "Orchestrator: overview",
    (
        (
            Panel(
                "Workers",
                "Workers that answer.",
                (Query(f"count(orchestrator_build_info{{{JOB}}})"),),
                kind="stat",
            ),
            Panel(
                "Partitions without a worker",
                "Customers of these are not served.",
                (
                    Query(
                        f"max(orchestrator_partitions{{{JOB}}}) - sum(orchestrator_partitions_owned{{{JOB}}})",
                    ),
                ),
                kind="stat",
            ),
            Panel(
                "Events that wait",
                "On the broker or fetched, and not applied.",
                (Query(f"sum(orchestrator_lag_records{{{JOB}}})"),),
                kind="stat",
            ),
            Panel(
                "Oldest event that waits",
                "Its age.",
                (Query(f"max(orchestrator_oldest_record_age_seconds{{{JOB}}})"),),
                unit="s",
                kind="stat",
            ),
            Panel(
                "Versions",
                "Of the program, and journey sets in force: one of each, but during a roll-out.",
                (
                    Query(f"count by (version) (orchestrator_build_info{{{JOB}}})", "{{version}}"),
                    Query(f"count by (set) (orchestrator_journey_set_info{{{JOB}}})", "{{set}}"),
                ),
                kind="stat",
            ),
        ),
        (
            Panel(
                "Events",
                "By what became of them.",
                (Query(rate("orchestrator_events_total", INSTANCE, "outcome"), "{{outcome}}"),),
                unit="eps",
                is_stacked=True,
            ),
            Panel(
                "From an event to its visible action",
                "Record timestamp to commit; wall clock only.",
                quantiles(DELAY, INSTANCE),
                unit="s",
            ),
        ),
        (
            Panel(
                "Decisions and heartbeats",
                "Applied events and fired timers; heartbeats only move time on.",
                (
                    Query(rate("orchestrator_decisions_total", INSTANCE, "instance"), "decisions {{instance}}"),
                    Query(rate("orchestrator_heartbeats_total", INSTANCE, "instance"), "heartbeats {{instance}}"),
                ),
                unit="ops",
            ),
            Panel(
                "Event types",
                "Applied, the ten most frequent.",
                (Query(f"topk(10, {rate('orchestrator_events_total', INSTANCE, 'type')})", "{{type}}"),),
                unit="eps",
            ),
            Panel(
                "Events that journeys published",
                "By type.",
                (Query(rate("orchestrator_events_emitted_total", INSTANCE, "type"), "{{type}}"),),
                unit="eps",
            ),
            Panel(
                "Dead letters",
                "By reason.",
                (Query(rate("orchestrator_dead_letters_total", INSTANCE, "reason"), "{{reason}}"),),
                unit="eps",
            ),
        ),
        (
            Panel(
                "Events that wait, by topic",
                "Lag.",
                (Query(f"sum by (topic) (orchestrator_lag_records{{{INSTANCE}}})", "{{topic}}"),),
                is_stacked=True,
            ),
            Panel(
                "Transactions",
                "Time to produce and commit one.",
                quantiles("orchestrator_transaction_seconds", INSTANCE),
                unit="s",
            ),
            Panel(
                "Records in a transaction",
                "Few when caught up, thousands when behind.",
                quantiles("orchestrator_batch_records", INSTANCE),
            ),
        ),
        (
            Panel(
                "Where the time goes",
                "Share of each phase: compute is the processor, commit the broker, apply the disk.",
                (Query(rate("orchestrator_batch_phase_seconds_total", INSTANCE, "phase"), "{{phase}}"),),
                unit="percentunit",
                is_stacked=True,
            ),
            *resources("worker"),
        ),
    ),
)

JOURNEYS = Dashboard(
    "orchestrator-journeys",
    "Orchestrator: journeys",
    (
        (
            Panel(
                "Customers who enter",
                "By journey.",
                (
                    Query(
                        rate("orchestrator_transitions_total", f'{JOURNEY}, kind="entered"', "journey"),
                        "{{journey}}",
                    ),
                ),
                unit="ops",
            ),
            Panel(
                "Decisions about passages",
                "By kind: entered, step, goal, exited, failed, ...",
                (
                    Query(
                        rate("orchestrator_transitions_total", JOURNEY, "kind"),
                        "{{kind}}",
                    ),
                ),
                unit="ops",
                is_stacked=True,
            ),
        ),
        (
            Panel(
                "Steps",
                "The twenty through which most customers go.",
                (
                    Query(
                        "topk(20, "
                        + rate(
                            "orchestrator_transitions_total",
                            f'{JOURNEY}, kind="step"',
                            "journey",
                            "step",
                        )
                        + ")",
                        "{{journey}} {{step}}",
                    ),
                ),
                unit="ops",
            ),
            Panel(
                "Goals a passage",
                "Reached goals for each customer who entered, over an hour.",
                (
                    Query(
                        hourly("goal") + " / " + hourly("entered"),
                        "{{journey}}",
                    ),
                ),
                unit="percentunit",
            ),
        ),
        (
            Panel(
                "Actions, by journey",
                "Commands published.",
                (Query(rate("orchestrator_actions_total", JOURNEY, "journey"), "{{journey}}"),),
                unit="ops",
            ),
            Panel(
                "Actions against a week ago",
                "1 is as many as at this hour a week ago.",
                (
                    Query(
                        f"job_journey:orchestrator_actions:rate1h{{{JOURNEY}}}"
                        f" / (job_journey:orchestrator_actions:rate1h{{{JOURNEY}}} offset 1w)",
                        "{{journey}}",
                    ),
                ),
            ),
            Panel(
                "Failed conditions and timers",
                "By journey and step.",
                (
                    Query(
                        rate(
                            "orchestrator_transitions_total",
                            f'{JOURNEY}, kind="failed"',
                            "journey",
                            "step",
                        ),
                        "{{journey}} {{step}}",
                    ),
                ),
                unit="ops",
            ),
        ),
    ),
)

CHANNELS = Dashboard(
    "orchestrator-channels",
    "Orchestrator: channels",
    (
        (
            Panel(
                "Commands, by channel",
                "Published to the channels' topics.",
                (Query(rate("orchestrator_actions_total", JOB, "channel"), "{{channel}}"),),
                unit="ops",
                is_stacked=True,
            ),
            Panel(
                "Commands in the last day",
                "By channel.",
                (Query(f"sum by (channel) (increase(orchestrator_actions_total{{{JOB}}}[1d]))", "{{channel}}"),),
                kind="stat",
            ),
        ),
        (
            Panel(
                "Wanted and not sent, by reason",
                "Caps, consent, addresses, templates, holdouts.",
                (Query(rate("orchestrator_not_sent_total", JOB, "reason"), "{{reason}}"),),
                unit="ops",
                is_stacked=True,
            ),
            Panel(
                "Wanted and not sent, by journey",
                "The ten that lose most.",
                (Query(f"topk(10, {rate('orchestrator_not_sent_total', JOB, 'journey')})", "{{journey}}"),),
                unit="ops",
            ),
        ),
        (
            Panel(
                "What became of commands, by sink",
                "Delivered, refused, expired, recalled; held counts tries. From Kafka Connect.",
                (Query(rate("orchestrator_sink_commands_total", SINKS, "connector", "outcome"), SINK_OUTCOME),),
                unit="ops",
                is_stacked=True,
            ),
            Panel(
                "Held for",
                "How long each sink has been holding a command: all that comes after it waits.",
                (Query(f"max by (connector) (orchestrator_sink_held_seconds{{{SINKS}}})", "{{connector}}"),),
                unit="s",
            ),
            Panel(
                "Tasks that do not run",
                "Failed or paused, of all connectors.",
                (Query(f"sum(1 - orchestrator_connect_task_running{{{SINKS}}})"),),
                kind="stat",
            ),
        ),
    ),
)

TIMERS = Dashboard(
    "orchestrator-timers",
    "Orchestrator: timers",
    (
        (
            Panel(
                "Customers who wait for a timer",
                "About.",
                (Query(f"sum by (instance) (orchestrator_timers_pending{{{INSTANCE}}})", "{{instance}}"),),
                is_stacked=True,
            ),
            Panel(
                "Timers fired",
                "By worker.",
                (Query(rate("orchestrator_timers_fired_total", INSTANCE, "instance"), "{{instance}}"),),
                unit="ops",
            ),
        ),
        (
            Panel("Lateness", "How long after it was due a timer fired.", quantiles(LATENESS, INSTANCE), unit="s"),
            Panel(
                "Lateness, all of it",
                "Timers by how late they were.",
                (Query(rate(f"{LATENESS}_bucket", INSTANCE, "le"), "{{le}}"),),
                unit="s",
                kind="heatmap",
            ),
        ),
    ),
)

RECOVERY = Dashboard(
    "orchestrator-recovery",
    "Orchestrator: recovery",
    (
        (
            Panel(
                "Partitions",
                "Owned by each worker.",
                (Query(f"orchestrator_partitions_owned{{{INSTANCE}}}", "{{instance}}"),),
                is_stacked=True,
            ),
            Panel(
                "Partitions being restored",
                "Nothing of these is processed meanwhile.",
                (Query(f"orchestrator_partitions_restoring{{{INSTANCE}}}", "{{instance}}"),),
            ),
            Panel(
                "Assignments",
                "That each worker went through, an hour.",
                (Query(f"increase(orchestrator_rebalances_total{{{INSTANCE}}}[1h])", "{{instance}}"),),
            ),
        ),
        (
            Panel(
                "Left to restore",
                "Changelog offsets, by partition.",
                (
                    Query(
                        f"sum by (partition) (orchestrator_restore_remaining_records{{{INSTANCE}}})",
                        "{{partition}}",
                    ),
                ),
            ),
            Panel(
                "Restored",
                "Changelog records read.",
                (Query(rate("orchestrator_restore_records_total", INSTANCE, "instance"), "{{instance}}"),),
                unit="ops",
            ),
            Panel(
                "Time to restore a partition",
                "Over a day.",
                tuple(
                    Query(
                        quantile_over("1d", value, "orchestrator_restore_seconds", INSTANCE),
                        f"p{value * 100:.0f}",
                    )
                    for value in (0.5, 0.99)
                ),
                unit="s",
            ),
        ),
        (
            Panel(
                "Since the last commit, and since the last cycle",
                "A commit needs something to do; cycles come round every tick.",
                (
                    Query(age("orchestrator_last_commit_timestamp_seconds"), "commit {{instance}}"),
                    Query(age("orchestrator_last_cycle_timestamp_seconds"), "cycle {{instance}}"),
                ),
                unit="s",
            ),
            Panel(
                "Repeated calls and registry failures",
                "What the broker and the registry could not answer at once.",
                (
                    Query(rate("orchestrator_transaction_retries_total", INSTANCE, "call"), "{{call}}"),
                    Query(rate("orchestrator_registry_failures_total", INSTANCE, "instance"), "registry {{instance}}"),
                ),
                unit="ops",
            ),
            Panel(
                "Up for",
                "Since each worker started.",
                (Query(age("process_start_time_seconds"), "{{instance}}"),),
                unit="s",
            ),
        ),
        (
            Panel(
                "Customer stores",
                "Size on disk.",
                (Query(f"orchestrator_store_bytes{{{INSTANCE}}}", "{{instance}}"),),
                unit="bytes",
            ),
            Panel(
                "Disk that is free",
                "Of the volume with the stores.",
                (
                    Query(
                        f"orchestrator_data_dir_free_bytes{{{INSTANCE}}}"
                        f" / orchestrator_data_dir_size_bytes{{{INSTANCE}}}",
                        "{{instance}}",
                    ),
                ),
                unit="percentunit",
            ),
            Panel(
                "Customer records written",
                "Once per customer and batch.",
                (Query(rate("orchestrator_customers_written_total", INSTANCE, "instance"), "{{instance}}"),),
                unit="ops",
            ),
        ),
    ),
)

DASHBOARDS = (OVERVIEW, JOURNEYS, CHANNELS, TIMERS, RECOVERY, INGEST)


def main() -> None:
    """Writes every dashboard to its file."""
    for dashboard in DASHBOARDS:
        (FOLDER / f"{dashboard.uid.removeprefix('orchestrator-')}.json").write_text(rendered(dashboard))


if __name__ == "__main__":
    main()
