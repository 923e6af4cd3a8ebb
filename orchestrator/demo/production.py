"""The demo's events on their way to the broker, sent by a thread of their own while another one watches."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from orchestrator.model.events import Event
from orchestrator.runtime.produce import EventProducer, Feed, Produced, produce_events


class Production:
    """The events on their way, sent by a thread of their own. `produced` is how far it is."""

    __slots__ = ("failure", "is_done", "produced")

    def __init__(self) -> None:
        self.produced = Produced(0, 0, 0, "", None, None)
        self.is_done = False
        self.failure: BaseException | None = None

    def note(self, produced: Produced) -> None:
        """Takes over the newest numbers."""
        self.produced = produced


@contextmanager
def producing(events: Sequence[Event], producer: EventProducer, feed: Feed) -> Iterator[Production]:
    """A context in which the events are sent; what is not sent when it ends early stays unsent."""
    production = Production()
    is_wanted = threading.Event()
    is_wanted.set()

    def wanted() -> Iterator[Event]:
        for event in events:
            if not is_wanted.is_set():
                return
            yield event

    def work() -> None:
        try:
            produce_events(wanted(), producer, feed, on_progress=production.note)
        except Exception as error:  # noqa: BLE001 - told to the thread that watches, which raises it
            production.failure = error
        production.is_done = True

    thread = threading.Thread(target=work, name="produce", daemon=True)
    thread.start()
    try:
        yield production
    finally:
        is_wanted.clear()
        if not production.is_done:
            producer.abandon()
        thread.join(timeout=5.0)
