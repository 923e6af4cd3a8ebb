"""What a decision asks the world to do, and the record of why."""

from __future__ import annotations

import msgspec

from orchestrator.model.events import EmittedEvent
from orchestrator.model.shared import Shared


class ActionCommand(msgspec.Struct, frozen=True, gc=False):
    """A command for the sink behind a channel's topic: do this for this customer, once, before `expires_at_ms`.

    `kind` says what: `send` (deliver `content` to `address`), `audience_add` and `audience_remove` (`target` is the
    audience, `address` who the customer is there), `task` (a person of the queue `target` does what `content` says,
    by `due_at_ms`), `webhook` (a request with the content's `method` and `body` to the endpoint `address`; `target` is
    the webhook's name). `action_id` is a function of (customer, journey, instance, step, visit): equal in every replay.
    `content` holds the rendered parts of the template (`subject`, `body`, …). `message_class` is `promotional` or
    `transactional`. `experiments` is the arm of each experiment that the passage has met. Instants are milliseconds
    since the epoch, UTC.
    """

    action_id: str
    customer_id: str
    journey: str
    version: str
    instance: int
    step: str
    channel: str
    address: str
    template: str
    language: str
    content: dict[str, str]
    message_class: str
    priority: int
    created_at_ms: int
    expires_at_ms: int
    kind: str = "send"
    target: str = ""
    due_at_ms: int | None = None
    experiments: dict[str, str] = {}


class Recall(msgspec.Struct, frozen=True, gc=False):
    """Whatever the customer's commands asked for at or before `at_ms` is not to be done any more, removals from
    audiences excepted: sinks may not have come to them yet.
    """

    customer_id: str
    at_ms: int


class Transition(msgspec.Struct, frozen=True, gc=False):
    """One decision about one customer's passage through a journey, with its reason.

    `kind`: `entered` (to = first step; `reason` says what let the customer in where it was no event, `value` is
    `global_holdout` for those of it), `held_out` (control group), `not_entered` (reason says why), `step` (a step ended
    with outcome `reason`, such as `skipped_quiet_hours`, and went on to `to`), `waiting` (it waits on, `reason` says
    why: `held` for quiet hours, `rate` for a slot of a channel's rate, `rebased` to another moment), `paused` (it
    stands still because the journey is paused), `resumed` (it goes on; `value` is how many events it kept), `dropped`
    (an event of type `reason` that came in a pause is not applied; `value` says why: `no_room`, `too_old`), `audience`
    (the audience `value` was changed, or why not), `exposed` (to arm `value` of the experiment that `reason` names),
    `goal` (the goal was reached, `value` as text), `exited` (`reason` says why), `failed` (a condition or template
    failed; `reason` names it, the instance goes on).
    `at_ms` is the decision's time. `event_id` is the event that caused it, or None for a timer.
    """

    customer_id: str
    journey: str
    version: str
    instance: int
    kind: str
    step: str
    to: str
    reason: str
    at_ms: int
    event_id: str | None
    action_id: str | None = None
    value: str | None = None


class Failure(msgspec.Struct, frozen=True, gc=False):
    """A condition that could not be evaluated on an event (division by zero, …): the event is also dead-lettered."""

    journey: str
    step: str
    detail: str


class Effects(msgspec.Struct):
    """Everything that decisions ask for, in decision order; one value may collect many decisions.

    `shared` is what the partition's customers share, which decisions advance; None where no rule looks at it.
    """

    actions: list[ActionCommand] = []
    transitions: list[Transition] = []
    failures: list[Failure] = []
    duplicates: int = 0
    timers_fired: int = 0
    shared: Shared | None = None
    events: list[EmittedEvent] = []
    recalls: list[Recall] = []
