from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from orchestrator.authoring.event_schemas import load_event_types
from orchestrator.model.journey import JourneySet
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.codec import REASONS
from orchestrator.runtime.histograms import BatchHistogram
from orchestrator.runtime.in_force import load_journeys
from orchestrator.runtime.metrics import Metrics
from orchestrator.runtime.ports import BatchReport, Standing


@pytest.fixture(scope="module")
def journeys() -> JourneySet:
    return load_journeys(journeys_dir(), schemas_dir()).journeys


@pytest.fixture
def metrics(journeys: JourneySet) -> Metrics:
    return Metrics(load_event_types(schemas_dir() / "events"), journeys)


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_a_batch_is_added_up(metrics: Metrics) -> None:
    report = BatchReport(
        records=12,
        heartbeats=2,
        applied={"cart_updated": 4},
        skipped={"page_viewed": 5},
        duplicates=1,
        timers_fired=3,
        lateness_ms=[20, 1500],
        transitions={("welcome_series", "welcome", "step", "sent"): 2, ("welcome_series", "", "entered", ""): 1},
        actions={("email", "welcome_series"): 2},
        commit_seconds=0.004,
    )
    metrics.batch(report)
    metrics.batch(report)
    assert value(metrics, "orchestrator_events_total", type="cart_updated", outcome="applied") == 8
    assert value(metrics, "orchestrator_events_total", type="page_viewed", outcome="skipped") == 10
    assert value(metrics, "orchestrator_decisions_total") == 14
    assert value(metrics, "orchestrator_actions_total", channel="email", journey="welcome_series") == 4
    steps = {"journey": "welcome_series", "step": "welcome", "kind": "step"}
    assert value(metrics, "orchestrator_transitions_total", **steps) == 4
    assert value(metrics, "orchestrator_timer_lateness_seconds_count") == 4
    assert value(metrics, "orchestrator_batch_records_sum") == 24
    assert value(metrics, "orchestrator_transaction_seconds_count") == 2


def test_what_was_wanted_and_not_sent_is_counted_by_reason(metrics: Metrics) -> None:
    transitions = {
        ("welcome_series", "welcome", "step", "sent"): 5,
        ("welcome_series", "welcome", "step", "capped"): 2,
        ("welcome_series", "next_day", "step", "waited"): 9,
        ("welcome_series", "call_them", "step", "template_failed"): 1,
    }
    metrics.batch(BatchReport(transitions=transitions))
    assert value(metrics, "orchestrator_not_sent_total", journey="welcome_series", reason="capped") == 2
    assert value(metrics, "orchestrator_not_sent_total", journey="welcome_series", reason="sent") is None
    assert value(metrics, "orchestrator_not_sent_total", journey="welcome_series", reason="waited") is None
    assert value(metrics, "orchestrator_not_sent_total", journey="welcome_series", reason="template_failed") == 1


def test_event_types_that_nobody_declared_share_one_label(metrics: Metrics) -> None:
    metrics.batch(BatchReport(skipped={f"made_up_{number}": 1 for number in range(100)}))
    assert value(metrics, "orchestrator_events_total", type="unknown", outcome="skipped") == 100


def test_dead_letters_are_counted_by_reason(metrics: Metrics) -> None:
    metrics.batch(BatchReport(rejected={"not_avro": 3, "unknown_schema": 1}))
    assert value(metrics, "orchestrator_dead_letters_total", reason="not_avro") == 3
    assert value(metrics, "orchestrator_events_total", type="unknown", outcome="rejected") == 4


def test_every_reason_for_a_dead_letter_is_there_before_it_happens(metrics: Metrics) -> None:
    for reason in REASONS:
        assert value(metrics, "orchestrator_dead_letters_total", reason=reason) == 0


def test_whether_a_broker_answers_is_asked_at_each_scrape(metrics: Metrics) -> None:
    answers = [True]
    metrics.watch_broker(lambda: answers[0])
    assert value(metrics, "orchestrator_broker_up") == 1
    answers[0] = False
    assert value(metrics, "orchestrator_broker_up") == 0


def test_no_series_only_says_when_a_counter_began(metrics: Metrics) -> None:
    metrics.batch(BatchReport(rejected={"not_avro": 1}, transitions={("welcome_series", "welcome", "step", "sent"): 5}))
    assert "_created" not in generate_latest(metrics.registry).decode()


def test_partitions_that_went_take_their_lag_with_them(metrics: Metrics) -> None:
    metrics.standing(Standing(partitions=2, lag={("events.web", 3): 7, ("events.web", 4): 1}))
    assert value(metrics, "orchestrator_lag_records", topic="events.web", partition="3") == 7
    assert value(metrics, "orchestrator_partitions_owned") == 2
    metrics.standing(Standing(partitions=1, lag={("events.web", 4): 0}))
    assert value(metrics, "orchestrator_lag_records", topic="events.web", partition="3") is None
    assert value(metrics, "orchestrator_lag_records", topic="events.web", partition="4") == 0
    assert value(metrics, "orchestrator_partitions_owned") == 1


def test_delay_is_from_a_records_timestamp_to_the_commit(metrics: Metrics) -> None:
    report = BatchReport(record_times_ms=[[1_000_000, 1_059_000, 1_059_960], [1_059_800]], committed_at_ms=1_060_000)
    metrics.batch(report)
    delay = "orchestrator_event_delay_seconds"
    assert value(metrics, f"{delay}_count") == 4
    assert value(metrics, f"{delay}_sum") == pytest.approx(60 + 1 + 0.04 + 0.2)
    buckets = {"0.025": 0, "0.05": 1, "0.15": 1, "0.25": 2, "0.5": 2, "1.0": 3, "30.0": 3, "60.0": 4, "+Inf": 4}
    assert {le: value(metrics, f"{delay}_bucket", le=le) for le in buckets} == buckets


def test_lateness_may_come_in_any_order(metrics: Metrics) -> None:
    metrics.batch(BatchReport(lateness_ms=[90_000, 10, -5, 3_000]))
    lateness = "orchestrator_timer_lateness_seconds"
    assert [value(metrics, f"{lateness}_bucket", le=le) for le in ("0.05", "5.0", "60.0", "300.0")] == [2, 3, 3, 4]


def test_the_age_of_the_oldest_record_grows_with_time_and_is_nothing_when_none_waits(metrics: Metrics) -> None:
    age = "orchestrator_oldest_record_age_seconds"
    assert value(metrics, age) == 0
    metrics.standing(Standing(oldest_ms=int(time.time() * 1000) - 90_000))
    assert (value(metrics, age) or 0) >= 90
    metrics.standing(Standing())
    assert value(metrics, age) == 0


def test_a_restore_is_seen_while_it_runs_and_timed_when_it_ended(metrics: Metrics) -> None:
    metrics.restore_begins()
    metrics.restoring(3, remaining=10, read=90)
    assert value(metrics, "orchestrator_partitions_restoring") == 1
    assert value(metrics, "orchestrator_restore_remaining_records", partition="3") == 10
    metrics.restore_ended(2.5)
    metrics.restore_begins()
    metrics.restore_ended(None)
    metrics.assigned()
    assert value(metrics, "orchestrator_partitions_restoring") == 0
    assert value(metrics, "orchestrator_restore_remaining_records", partition="3") is None
    assert value(metrics, "orchestrator_restore_records_total") == 90
    assert value(metrics, "orchestrator_restore_seconds_count") == 1
    assert value(metrics, "orchestrator_rebalances_total") == 1


def test_when_the_cycles_last_came_round_is_asked_at_each_scrape(metrics: Metrics) -> None:
    silent = [0.0]
    metrics.cycles(lambda: silent[0])
    before = value(metrics, "orchestrator_last_cycle_timestamp_seconds") or 0
    silent[0] = 50.0
    assert before - (value(metrics, "orchestrator_last_cycle_timestamp_seconds") or 0) > 40


def test_the_journeys_in_force_are_an_info_metric_that_changes_with_them(
    metrics: Metrics, journeys: JourneySet
) -> None:
    assert value(metrics, "orchestrator_journey_set_info", set=journeys.set_id) == 1
    metrics.in_force((), replace(journeys, set_id="other"))
    assert value(metrics, "orchestrator_journey_set_info", set="other") == 1
    assert value(metrics, "orchestrator_journey_set_info", set=journeys.set_id) is None


def test_the_space_of_the_data_directory_is_known(journeys: JourneySet, tmp_path: Path) -> None:
    metrics = Metrics((), journeys, data_dir=tmp_path)
    free, size = (value(metrics, f"orchestrator_data_dir_{kind}_bytes") or 0 for kind in ("free", "size"))
    assert 0 < free <= size


def test_every_name_is_conventional(metrics: Metrics) -> None:
    families = [family for family in metrics.registry.collect() if family.name.startswith("orchestrator")]
    assert len(families) > 30
    units = ("_seconds", "_bytes", "_records", "_info")
    for family in families:
        assert family.documentation.endswith("."), family.name
        assert re.fullmatch(r"[a-z][a-z0-9_]*", family.name), family.name
        assert not re.search(r"_(ms|millis|minutes|kb|mb|percent|count|total)$", family.name), family.name
        if family.type == "histogram":
            assert family.name.endswith(units), family.name


def test_ages_are_counted_as_if_each_was_taken_by_itself() -> None:
    bounds = (0.01, 0.5, 60.0)
    times_ms, now_ms = [0, 500, 940_000, 940_001, 999_500, 999_501, 999_990, 999_995, 1_000_000], 1_000_000
    at_once, one_by_one = (
        BatchHistogram("ages_seconds", "Ages.", buckets=bounds, registry=CollectorRegistry()) for _ in range(2)
    )
    at_once.observe_ages_ms(times_ms, now_ms)
    for time_ms in times_ms:
        one_by_one.observe_sorted_ms([now_ms - time_ms])
    assert [family.samples for family in at_once.collect()] == [family.samples for family in one_by_one.collect()]


def test_a_clock_that_is_ahead_never_makes_the_sum_smaller() -> None:
    histogram = BatchHistogram("ages_seconds", "Ages.", buckets=(1.0,), registry=CollectorRegistry())
    histogram.observe_ages_ms([2_000], 1_000)
    (family,) = histogram.collect()
    assert {sample.name: sample.value for sample in family.samples if sample.name.endswith(("sum", "count"))} == {
        "ages_seconds_count": 1,
        "ages_seconds_sum": 0,
    }
