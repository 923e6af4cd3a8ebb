"""A worker and the published journey sets: what it starts with, and what it takes up while it runs.

Once something was published, the definitions topic says what is in force. The worker's own directory is published if
nothing is there yet, or on request (`--publish`). A thread follows the topic; it compiles a new set beside the running
one and hands it over between two batches. A set that cannot be used here is refused: the one before stays in force.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import structlog

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.brokers import Brokers
from orchestrator.runtime.definitions import Definition, DefinitionsReader, publish_definition
from orchestrator.runtime.in_force import InForce, Loaded, Publications

log = structlog.stdlib.get_logger(__name__)

POLL_S = 0.5
RETRY_S = 5.0
LOOK_EVERY_S = 5.0
"""How often a broker is asked whether it is there. Without events nothing else would tell."""

Publish = Callable[[Definition, tuple[Definition, ...]], object]
"""Publishes a definition after those that were published before. Raises EnvironmentProblem if it may not be."""
REFUSED_HINT = "bring all workers to the release that published it; orchestrator plan shows what is wrong with journeys"


class Disallowed(EnvironmentProblem):
    """The rules of the house are against publishing it."""


Usable = Callable[[InForce], None]
"""Raises EnvironmentProblem if the set cannot be used, because topics are missing that it sends to, for example."""


class Uptake:
    """Follows the definitions topic. `check_usable` may block.

    Its methods may be called from any thread. Raises: EnvironmentProblem if the topic cannot be read.
    """

    def __init__(
        self,
        brokers: Brokers,
        topic: str,
        *,
        check_usable: Usable = lambda _: None,
        publish: Publish | None = None,
    ) -> None:
        self._topic = topic
        self._check_usable = check_usable
        self._publish = publish or (lambda one, _: publish_definition(brokers, topic, one))
        self._lock = threading.Lock()
        self._reader = DefinitionsReader(brokers, topic)
        self._publications = Publications()
        self._in_force: InForce | None = None
        self.refused = 0
        """How many sets are published after the one in force that cannot be used."""
        self._newest_refusal: EnvironmentProblem | None = None
        self.is_broker_up = True
        """Whether a broker answered when the thread asked last."""
        self._looked_at = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start_with(self, load: Callable[[], Loaded], *, publish: bool) -> InForce:
        """The set in force. The directory's journeys are published if nothing was, or if `publish` says so.

        Raises: EnvironmentProblem if nothing can be used.
        """
        found = self.catch_up()
        if publish or not self._publications.definitions:
            loaded = load()
            newest = self._publications.newest
            if newest is None or newest.journeys.set_id != loaded.definition.set_id:
                # What this worker itself cannot use it does not publish, but says why.
                reason = self._publications.why_not(loaded.definition)
                if reason:
                    raise EnvironmentProblem(f"the journeys cannot come into force: {reason}", hint=REFUSED_HINT)
                self._check_usable(InForce(loaded.journeys, loaded.definition, loaded.event_types))
                definition = replace(loaded.definition, who="worker", why="started with it", at_ms=_now_ms())
                try:
                    self._publish(definition, tuple(self._publications.definitions))
                except Disallowed as refusal:
                    # Nobody would be served by a worker that ends, while others run what is in force.
                    if found is None:
                        raise
                    log.warning(
                        "the journeys of the directory are not published; those in force stay",
                        reason=str(refusal),
                        hint=refusal.hint,
                    )
                found = self.catch_up()
        if found is None:
            # The newest one's reason is what to do something about.
            raise EnvironmentProblem(
                f"none of the published journey sets can be used by this worker: {self._newest_refusal}",
                hint=self._newest_refusal.hint if self._newest_refusal is not None else "",
            )
        return found

    def catch_up(self) -> InForce | None:
        """The set in force after everything that is published by now; None if there is none."""
        with self._lock:
            self._take(self._reader.read_to_end())
            return self._in_force

    def follow(self, take_up: Callable[[InForce], None], *, on_refused: Callable[[int], None] = lambda _: None) -> None:
        """Starts the thread. In it `take_up` is called with each set that comes into force from now on, and
        `on_refused` with the number of those refused, when it changes. It also looks every few seconds whether a broker
        answers (`is_broker_up`).
        """
        self._thread = threading.Thread(
            target=self._follow, args=(take_up, on_refused), name="definitions", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and the connection."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2 * POLL_S)

    def _follow(self, take_up: Callable[[InForce], None], on_refused: Callable[[int], None]) -> None:
        known, refused = self._in_force, 0
        while not self._stop.is_set():
            try:
                self._look()
                with self._lock:
                    definition = self._reader.poll(POLL_S)
                    if definition is not None:
                        self._take([definition])
                    found = self._in_force
            except Exception as error:  # noqa: BLE001 - the sets in force stay; what is wrong may pass
                log.warning("the published journey sets cannot be read", reason=str(error))
                self._stop.wait(RETRY_S)
                continue
            if refused != self.refused:
                refused = self.refused
                on_refused(refused)
            if found is not None and found is not known:
                known = found
                take_up(found)
            # Whoever restores a partition meanwhile gets his turn.
            self._stop.wait(0.01)
        self._reader.close()

    def _look(self) -> None:
        """Every few seconds: says whether a broker answers, and logs when that changes."""
        if time.monotonic() - self._looked_at < LOOK_EVERY_S:
            return
        with self._lock:
            is_up = self._reader.is_answered()
        self._looked_at = time.monotonic()
        if is_up != self.is_broker_up:
            if is_up:
                log.info("a broker answers again")
            else:
                log.error("no broker answers; events and timers wait until one does")
            self.is_broker_up = is_up

    def _take(self, definitions: Iterable[Definition]) -> None:
        """Makes the newest of these publications that can be used the one in force; refuses those after it."""
        added = [(definition, self._publications.add(definition)) for definition in definitions]
        refused = 0
        for definition, found in reversed(added):
            problem = self._why_not(found, definition)
            if problem is None:
                self._in_force, self.refused = found, refused
                return
            self._newest_refusal = self._newest_refusal if refused else problem
            refused += 1
            log.error(
                "a published journey set is refused; the one before stays in force",
                set=definition.set_id,
                offset=definition.offset,
                reason=str(problem),
                hint=problem.hint,
            )
        self.refused += refused

    def _why_not(self, found: InForce | None, definition: Definition) -> EnvironmentProblem | None:
        if found is None:
            return EnvironmentProblem(self._publications.refused[definition.offset], hint=REFUSED_HINT)
        try:
            self._check_usable(found)
        except EnvironmentProblem as problem:
            return problem
        return None


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
