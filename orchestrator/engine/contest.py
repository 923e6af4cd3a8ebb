"""Which of several messages of one decision goes first: the one of the highest priority.

A passage that comes to a promotional message stops there, as long as other passages of the customer go on with the
same decision. Then the messages are decided one after the other, by priority; what a passage comes to after that
takes part with those that are left.
"""

from __future__ import annotations

from orchestrator.engine.sending import send
from orchestrator.engine.steps import STEPS_PER_DECISION_MAX, leave, run_steps
from orchestrator.engine.turn import Contender, Turn, ask_to_catch_up
from orchestrator.model.customer import ACTIVE
from orchestrator.model.journey import Journey


def contend(turn: Turn, rounds: int = 0) -> int:
    """Decides the messages that wait for this decision's end, and goes on with their passages until none is left.

    It stops after the message of a passage that has more to see of what it missed in a pause: what that leads to takes
    part with the messages that are left. Gives how many messages there were, with the `rounds` before.
    """
    while (contenders := turn.contenders) is not None:
        if len(contenders) == 1:
            best, turn.contenders = contenders[0], None
        else:
            best = min(contenders, key=precedence)
            contenders.remove(best)
        instance = best.instance
        if instance.state != ACTIVE or instance not in turn.customer.instances:
            # It left meanwhile.
            continue
        rounds += 1
        turn.instance = instance
        if rounds > STEPS_PER_DECISION_MAX:
            leave(turn, best.journey, instance, "runaway")
            continue
        following = send(turn, best.journey, instance, best.step)
        if following is not None:
            run_steps(turn, best.journey, instance, following)
        if instance.pause is not None:
            # Also where the message is held now: what was missed is still shown to it.
            ask_to_catch_up(turn, instance)
            break
    return rounds


def contend_first(turn: Turn, journey: Journey) -> None:
    """Decides the messages now if a passage through this journey waits for that: whether the customer may enter again
    depends on how the passage before goes on.
    """
    rounds = 0
    while turn.contenders is not None and any(one.journey.name == journey.name for one in turn.contenders):
        rounds = contend(turn, rounds)


def precedence(contender: Contender) -> tuple[int, str, int]:
    """The order in which messages are decided: priority from high to low, then journey by name, then passage."""
    return -contender.step.priority, contender.journey.name, contender.instance.number
