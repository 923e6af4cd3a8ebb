"""What the transactional producer is told, where two settings have to go together."""

from __future__ import annotations

from orchestrator.runtime.transaction import producer_settings


def test_a_connection_that_was_closed_while_nothing_happened_is_opened_again_at_once() -> None:
    settings = producer_settings("shop-a")
    # librdkafka doubles the pause before a connection is opened again unless the last attempt is longer ago than this.
    # Closing idle ones sooner than that made the first transaction after a quiet minute wait for seconds.
    assert 2 * int(settings["reconnect.backoff.max.ms"]) < int(settings["connections.max.idle.ms"])
