"""What one partition's records and due timers lead to: bytes and states in, decisions out; the store is only read.

Place in the data flow: the middle of `Cycle.compute`. Each customer is decoded once and encoded once per batch.

A decision that raises is a bug, but it must not stop the partition for ever. The batch is then decided again with
care: each decision alone, its customer as it was before if it raises. The record goes to the dead-letter topic as
`failed`; where a timer raised, the passages whose timer was due end, and their last transition is `exited` with the
reason `failed`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

import msgspec

from orchestrator.engine.decide import apply_event, bring_in_line, fire_timers
from orchestrator.engine.turn import UnknownVersion
from orchestrator.model.actions import Effects, Transition
from orchestrator.model.customer import (
    HEADER_BYTES,
    NEVER_MS,
    Customer,
    decode_customer,
    encode_customer,
    wake_at_ms,
)
from orchestrator.model.events import Event
from orchestrator.model.journey import JourneySet
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.model.shared import SHARED_KEY, Shared, decode_shared, encode_shared
from orchestrator.runtime.codec import (
    CONDITION_FAILED,
    FAILED,
    FRAME_BYTES,
    FUTURE_TIMESTAMP,
    MISSING_CUSTOMER,
    EventCodec,
    Handling,
    Rejection,
    decode_event,
)
from orchestrator.runtime.due import DueIndex
from orchestrator.runtime.merge import Taken
from orchestrator.runtime.ports import Change, CustomerStore, Record
from orchestrator.runtime.tracing import Traces, trace_of

RECORD_BYTES_MAX = 900_000
"""No customer record and no action grows beyond this: brokers refuse records above 1 MB, and with them the batch."""

_encode_fields = msgspec.msgpack.Encoder().encode

NOBODY = encode_customer(Customer())
"""The record of a customer who is not known, or was forgotten."""


@dataclass(frozen=True, slots=True)
class UnknownFrames:
    """The records cannot be decided yet: these schema ids were never seen and have to be looked up first."""

    frames: frozenset[bytes]


@dataclass(slots=True)
class Decided:
    """Everything that one partition's part of a batch leads to.

    `changes` holds customers' records, and last the record of what they share if it `changed_shared`.
    Customers in (`aligned_after`, `aligned_until`] were brought in line with the journey set; None, and nobody was.
    `rejected` holds (record, why) for the dead-letter topic; where the reason is `condition_failed` the record was
    applied all the same. `timers_until` and `timers_until_customer` are the bound that the journal states.
    """

    effects: Effects = field(default_factory=Effects)
    changes: list[Change] = field(default_factory=list)
    changed_shared: bool = False
    rejected: list[tuple[Record, Rejection]] = field(default_factory=list)
    applied: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    heartbeats: int = 0
    timers_until: int = NEVER_MS
    timers_until_customer: bytes | None = None
    fired: int = 0
    lateness_ms: list[int] = field(default_factory=list)
    aligned_after: bytes | None = None
    aligned_until: bytes | None = None
    aligned: int = 0
    traces: Traces = field(default_factory=Traces)


@dataclass(frozen=True, slots=True)
class Situation:
    """What a partition's decisions depend on, besides its records. It is one of `partitions`.

    `uncommitted` is the new records of the batch that is being committed meanwhile: they count, what the store says
    about these customers does not. Timers fire up to `timers_until_ms`, at most `timers_max` of them; `late_at_ms`
    is what their lateness is measured against. Then up to `align_max` customers after `align_after` are brought in line
    with the journey set; None if all are.
    """

    partition: int
    partitions: int
    journeys: JourneySet
    codec: EventCodec
    store: CustomerStore
    uncommitted: Mapping[bytes, bytes]
    timers_until_ms: int
    timers_max: int
    late_at_ms: int
    align_after: bytes | None = None
    align_max: int = 1


class _NeedsCare(Exception):
    """A decision raised: decide this batch again, each decision alone."""


def decide(taken: Taken | None, situation: Situation) -> Decided | UnknownFrames:
    """Decides for the records in their order, then for the timers that are due.

    Raises: UnknownVersion if a customer's pinned journey version is not loaded; EnvironmentProblem if a stored
    customer record is damaged. Both end the process.
    """
    decided = Decided()
    events = [] if taken is None else _decode(taken, situation.codec, decided)
    if isinstance(events, UnknownFrames):
        return events
    try:
        batch = _Batch(situation, decided, is_careful=False)
        batch.run(events)
    except _NeedsCare:
        events_rejected = [pair for pair in decided.rejected if pair[1].reason not in {FAILED, CONDITION_FAILED}]
        decided = Decided(rejected=events_rejected, skipped=decided.skipped, heartbeats=decided.heartbeats)
        _Batch(situation, decided, is_careful=True).run(events)
    return decided


def _decode(taken: Taken, codec: EventCodec, decided: Decided) -> list[tuple[Record, Event]] | UnknownFrames:
    """The records that are to be applied, with their events; the others are counted or rejected."""
    events: list[tuple[Record, Event]] = []
    unknown: set[bytes] = set()
    skipped: list[str] = []
    plan_of = codec.plans.get
    add, skip = events.append, skipped.append
    for record in taken.records:
        value = record.value
        if value is None:
            value = b""
        plan = plan_of(value[:FRAME_BYTES]) or codec.plan_at_once(value[:FRAME_BYTES])
        if plan is None:
            unknown.add(value[:FRAME_BYTES])
        elif (read := plan.read) is not None:
            key = record.key
            if not key:
                decided.rejected.append((record, Rejection(MISSING_CUSTOMER)))
                continue
            event = decode_event(plan.event_type, read, key, value)
            if type(event) is Event:
                add((record, event))
            elif type(event) is Rejection:
                decided.rejected.append((record, event))
        elif plan.handling is Handling.SKIP:
            skip(plan.event_type)
        elif plan.handling is Handling.HEARTBEAT:
            decided.heartbeats += 1
        else:
            decided.rejected.append((record, Rejection(plan.reason, plan.detail)))
    if unknown:
        return UnknownFrames(frozenset(unknown))
    decided.skipped = Counter(skipped)
    if taken.future:
        return _without_future(events, taken, decided)
    return events


def _without_future(events: list[tuple[Record, Event]], taken: Taken, decided: Decided) -> list[tuple[Record, Event]]:
    """Rejects records whose timestamp is not to be believed, instead of whatever else was found out about them."""
    future = taken.future
    decided.rejected = [pair for pair in decided.rejected if (pair[0].topic, pair[0].offset) not in future]
    decided.rejected += [
        (record, Rejection(FUTURE_TIMESTAMP)) for record in taken.records if (record.topic, record.offset) in future
    ]
    return [pair for pair in events if (pair[0].topic, pair[0].offset) not in future]


class _Batch:
    """The customers of one partition while a batch is decided.

    `records` holds each customer's bytes from before the batch, `customers` what becomes of them; `shared_record` and
    `shared` the same of what they share, None where nothing looks at it.
    """

    def __init__(self, situation: Situation, decided: Decided, *, is_careful: bool) -> None:
        self.situation = situation
        self.decided = decided
        self.is_careful = is_careful
        self.records: dict[bytes, bytes | None] = {}
        self.customers: dict[bytes, Customer] = {}
        # In the order in which they were touched first; the changes come out in it.
        self.touched: dict[bytes, None] = {}
        self.shared_record: bytes | None = None
        self.shared: Shared | None = None

    def run(self, events: list[tuple[Record, Event]]) -> None:
        self.load([record.key or b"" for record, _ in events])
        if self.situation.journeys.uses_shared:
            self.load_shared()
        if self.is_careful:
            self.apply_carefully(events)
        else:
            self.apply(events)
        self.decided.applied = Counter([event.type for _, event in events])
        for record, why in self.decided.rejected:
            if why.reason == FAILED:
                self.decided.applied.subtract(event.type for other, event in events if other is record)
        self.touched.update((record.key or b"", None) for record, _ in events)
        self.fire()
        if self.situation.align_after is not None:
            self.align(self.situation.align_after)
        if not self.is_careful and is_too_large(self.decided.effects):
            raise _NeedsCare
        changes = self.decided.changes
        records, customers = self.records, self.customers
        for key in self.touched:
            old, new = records[key], encode_customer(customers[key])
            # A customer of whom every record was rejected stays unknown.
            if new != old and (old is not None or new != NOBODY):
                if len(new) > RECORD_BYTES_MAX and not self.is_careful:
                    raise _NeedsCare
                # Of a customer who was forgotten nothing is kept: a tombstone.
                changes.append((key, old, None if new == NOBODY else new))
        if self.shared is not None:
            new = encode_shared(self.shared)
            if new != (self.shared_record or self.encoded_new_shared()):
                changes.append((SHARED_KEY, self.shared_record, new))
                self.decided.changed_shared = True

    def load_shared(self) -> None:
        """Reads and decodes what the partition's customers share."""
        situation = self.situation
        record = situation.uncommitted.get(SHARED_KEY)
        if record is None:
            record = situation.store.read([SHARED_KEY])[0]
        self.shared_record = record
        self.take_shared(record)

    def take_shared(self, record: bytes | None) -> None:
        """Makes these bytes what the customers share."""
        situation = self.situation
        try:
            self.shared = decode_shared(record, partition=situation.partition, partitions=situation.partitions)
        except ValueError as error:
            raise _damaged(situation, error) from None
        self.decided.effects.shared = self.shared

    def encoded_new_shared(self) -> bytes:
        """The bytes of a partition whose customers have used nothing."""
        return encode_shared(Shared(self.situation.partition, self.situation.partitions))

    def own_effects(self) -> tuple[Effects, bytes | None]:
        """Effects for one decision alone, and what the customers share as it is before."""
        shared = self.shared
        return Effects([], [], [], shared=shared), None if shared is None else encode_shared(shared)

    def load(self, keys: Iterable[bytes]) -> None:
        """Reads and decodes the customers that are not here yet."""
        records, customers, uncommitted = self.records, self.customers, self.situation.uncommitted
        new = [key for key in dict.fromkeys(keys) if key not in records]
        missing = [key for key in new if key not in uncommitted]
        found = dict(zip(missing, self.situation.store.read(missing), strict=True))
        try:
            for key in new:
                record = records[key] = uncommitted[key] if key in uncommitted else found[key]
                customers[key] = Customer() if record is None else decode_customer(record)
        except ValueError as error:
            raise _damaged(self.situation, error) from None

    def apply(self, events: list[tuple[Record, Event]]) -> None:
        """The quick way: all decisions share one `Effects`."""
        journeys = self.situation.journeys
        customers = self.customers
        effects = self.decided.effects
        failures = effects.failures
        try:
            for record, event in events:
                before = self.made() if record.headers else None
                apply_event(journeys, customers[record.key], event, record.timestamp, effects)  # type: ignore[index]
                if failures:
                    self.note_failures(record, effects)
                if before is not None:
                    self.trace(record, before)
        except (UnknownVersion, MemoryError):
            raise
        except Exception as error:
            raise _NeedsCare from error

    def made(self) -> tuple[int, int]:
        """How many actions and events the batch has led to so far."""
        effects = self.decided.effects
        return len(effects.actions), len(effects.events)

    def trace(self, record: Record, before: tuple[int, int]) -> None:
        """What was made since then belongs to the record's trace, if it has one."""
        after = self.made()
        if after != before and (trace := trace_of(record.headers)) is not None:
            traces = self.decided.traces
            traces.actions.update(dict.fromkeys(range(before[0], after[0]), trace))
            traces.events.update(dict.fromkeys(range(before[1], after[1]), trace))

    def note_failures(self, record: Record, effects: Effects) -> None:
        detail = "; ".join(f"{failed.journey} {failed.step}: {failed.detail}" for failed in effects.failures)
        self.decided.rejected.append((record, Rejection(CONDITION_FAILED, detail)))
        effects.failures.clear()

    def apply_carefully(self, events: list[tuple[Record, Event]]) -> None:
        """The slow way: a decision that raises leaves its customer as it was, and its record is rejected."""
        for record, event in events:
            key = record.key or b""
            before = encode_customer(self.customers[key])
            effects, shared_before = self.own_effects()
            try:
                apply_event(self.situation.journeys, self.customers[key], event, record.timestamp, effects)
                _check_sizes(self.customers[key], effects)
            except (UnknownVersion, MemoryError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this record's
                self.customers[key] = decode_customer(before)
                if shared_before is not None:
                    self.take_shared(shared_before)
                self.decided.rejected.append((record, Rejection(FAILED, place_of(error))))
                continue
            if effects.failures:
                self.note_failures(record, effects)
            made = self.made()
            _add(self.decided.effects, effects)
            self.trace(record, made)

    def fire(self) -> None:
        """Fires due timers in (wake, customer) order, up to the bound."""
        situation, decided = self.situation, self.decided
        until_ms = situation.timers_until_ms
        decided.timers_until = until_ms
        if until_ms < 0:
            return
        # What is known here about a customer's next timer counts, not what the store's index still says.
        due = [(wake, key) for key, customer in self.customers.items() if (wake := wake_at_ms(customer)) <= until_ms]
        bound = until_ms.to_bytes(8, "big", signed=True)
        due += [
            (int.from_bytes(record[1:HEADER_BYTES], "big"), key)
            for key, record in situation.uncommitted.items()
            if record[1:HEADER_BYTES] <= bound and key not in self.customers
        ]
        heapify(due)
        index = DueIndex(situation.store, until_ms, situation.timers_max, self.records, situation.uncommitted)
        last: tuple[int, bytes] | None = None
        while True:
            entry = index.head()
            if due and (entry is None or due[0] < entry):
                entry = due[0]
                is_indexed = False
            else:
                is_indexed = True
            if entry is None:
                return
            if decided.fired >= situation.timers_max and last is not None:
                decided.timers_until, decided.timers_until_customer = last
                return
            if is_indexed:
                self.load(index.take())
            else:
                heappop(due)
                self.load([entry[1]])
            next_ms = self.fire_one(entry)
            last = entry
            if next_ms <= until_ms:
                heappush(due, (next_ms, entry[1]))

    def align(self, after: bytes) -> None:
        """Brings the next customers in line with the journey set, if every timer that is due has fired."""
        situation, decided = self.situation, self.decided
        if situation.timers_until_ms < 0 or decided.timers_until_customer is not None:
            return
        keys = set(situation.store.keys(after, situation.align_max))
        until = max(keys) if len(keys) == situation.align_max else None
        # Customers whose first record is being committed are not in the store yet.
        keys |= {key for key in situation.uncommitted if key > after and (until is None or key <= until)}
        keys.discard(SHARED_KEY)
        self.load(keys)
        for key in sorted(keys):
            self.align_one(key)
        decided.aligned_after, decided.aligned_until = after, until

    def align_one(self, key: bytes) -> None:
        decided, journeys, until_ms = self.decided, self.situation.journeys, self.situation.timers_until_ms
        customer = self.customers[key]
        if customer.aligned == journeys.alignment:
            return
        before = encode_customer(customer) if self.is_careful else b""
        effects, shared_before = self.own_effects() if self.is_careful else (decided.effects, None)
        try:
            bring_in_line(journeys, customer, key.decode(), until_ms, effects)
            if self.is_careful:
                _check_sizes(customer, effects)
        except (UnknownVersion, MemoryError):
            raise
        except Exception as error:
            if not self.is_careful:
                raise _NeedsCare from error
            # The record stays as it is: the next event of this customer fails, and is dead-lettered with the reason.
            self.customers[key] = decode_customer(before)
            if shared_before is not None:
                self.take_shared(shared_before)
            return
        if self.is_careful:
            _add(decided.effects, effects)
        decided.effects.failures.clear()
        self.touched[key] = None
        decided.aligned += 1

    def fire_one(self, entry: tuple[int, bytes]) -> int:
        """Fires what is due for one customer at its wake; gives its next wake."""
        wake_ms, key = entry
        decided, journeys = self.decided, self.situation.journeys
        customer_id = key.decode()
        customer = self.customers[key]
        before = encode_customer(customer) if self.is_careful else b""
        effects, shared_before = self.own_effects() if self.is_careful else (decided.effects, None)
        try:
            fire_timers(journeys, customer, customer_id, wake_ms, effects)
            next_ms = wake_at_ms(customer)
            if next_ms <= wake_ms:
                raise AssertionError("a timer is still due after it fired")  # noqa: TRY301 - handled like the engine's own
            if self.is_careful:
                _check_sizes(customer, effects)
        except (UnknownVersion, MemoryError):
            raise
        except Exception as error:
            if not self.is_careful:
                raise _NeedsCare from error
            customer = self.customers[key] = decode_customer(before)
            if shared_before is not None:
                self.take_shared(shared_before)
            effects = Effects([], [], [])
            drop_due_passages(customer, customer_id, wake_ms, place_of(error), effects)
            next_ms = wake_at_ms(customer)
        if self.is_careful:
            _add(decided.effects, effects)
        # A failing condition of a timer has no record to dead-letter: its transition says so.
        decided.effects.failures.clear()
        self.touched[key] = None
        decided.fired += 1
        decided.lateness_ms.append(max(0, self.situation.late_at_ms - wake_ms))
        return next_ms


def _damaged(situation: Situation, error: ValueError) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"the customer store of partition {situation.partition} is damaged: {error}",
        hint="delete its directory: it is rebuilt from the changelog",
    )


def drop_due_passages(customer: Customer, customer_id: str, wake_ms: int, detail: str, effects: Effects) -> None:
    """Ends the passages whose timers raised, and puts off such clocks, so that all else of the customer goes on."""
    customer.last_at_ms = max(customer.last_at_ms, wake_ms)
    kept = []
    for instance in customer.instances:
        if instance.timer_at_ms > wake_ms and instance.goal_until_ms > wake_ms:
            kept.append(instance)
            continue
        for kind, reason in (("failed", f"timer: {detail}"), ("exited", FAILED)):
            effects.transitions.append(
                Transition(
                    customer_id,
                    instance.journey,
                    instance.version,
                    instance.number,
                    kind,
                    instance.step,
                    "",
                    reason,
                    customer.last_at_ms,
                    None,
                )
            )
    customer.instances = kept
    clocks = {name: due_ms for name, due_ms in customer.clocks.items() if due_ms > wake_ms}
    if len(clocks) < len(customer.clocks):
        # The next decision about the customer brings the record in line again, and so sets them anew.
        customer.aligned = ""
    customer.clocks = clocks


def place_of(error: BaseException) -> str:
    """The error's type and where it was raised; its message may hold personal data and is left out."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    code = trace.tb_frame.f_code
    return f"{type(error).__name__} in {code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}"


def _check_sizes(customer: Customer, effects: Effects) -> None:
    if len(encode_customer(customer)) > RECORD_BYTES_MAX:
        raise OverflowError("a customer record is too large")
    if is_too_large(effects):
        raise OverflowError("an action or an emitted event is too large")


def is_too_large(effects: Effects) -> bool:
    """Whether a broker would refuse an action or an emitted event, and with it the batch."""
    for action in effects.actions:
        # Counting characters is quick, and no character has more than four bytes.
        if sum(map(len, action.content.values())) * 4 > RECORD_BYTES_MAX and (
            sum(len(part.encode()) for part in action.content.values()) > RECORD_BYTES_MAX
        ):
            return True
    return any(len(_encode_fields(emitted.event.fields)) > RECORD_BYTES_MAX for emitted in effects.events)


def _add(total: Effects, effects: Effects) -> None:
    total.actions += effects.actions
    total.transitions += effects.transitions
    total.events += effects.events
    total.recalls += effects.recalls
    total.duplicates += effects.duplicates
    total.timers_fired += effects.timers_fired
