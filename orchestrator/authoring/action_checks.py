"""Steps that ask for something other than a message, and what they refer to, against the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from orchestrator.authoring.drafts import ActionDraft, ChangeAudienceDraft, IncrementDraft, Ref
from orchestrator.authoring.expression_functions import NUMBER
from orchestrator.authoring.expression_nodes import Names
from orchestrator.authoring.expression_types import described
from orchestrator.authoring.suggest import did_you_mean
from orchestrator.authoring.yaml_source import problem_at
from orchestrator.model.types import Kind, Type

if TYPE_CHECKING:
    from orchestrator.authoring.checks import Checks


def an_increment(of: Type) -> tuple[str, str, str] | None:
    """Demands something that can be added to a number."""
    if of.kind in NUMBER:
        return None
    return "J430", f"an increment is a number, and this is {described(of)}", "write increment: {visits: 1}"


def check_action(step: ActionDraft, names: Names, checks: Checks) -> None:
    """Checks one step."""
    match step:
        case IncrementDraft():
            for _, formula in step.increments:
                checks.formula(formula, names, an_increment)
        case ChangeAudienceDraft():
            for ref in step.audiences:
                _check_audience(ref, checks)
        case _:
            assert_never(step)


def _check_audience(ref: Ref, checks: Checks) -> None:
    audiences = checks.world.audiences
    if ref.name not in audiences:
        hint = did_you_mean(ref.name, audiences, otherwise="audiences.yaml names the audiences")
        checks.problems.append(problem_at(ref.node, "J230", f'there is no audience "{ref.name}"', hint=hint))


def check_audiences(checks: Checks) -> None:
    """Checks audiences.yaml: each has a destination of its own kind, and an attribute that is text."""
    world, problems = checks.world, checks.problems
    for audience in world.audiences.values():
        if audience.destination.name in world.channels:
            message = f'"{audience.destination.name}" is a channel, so no audience is kept there'
            hint = "give the destination a name of its own: a topic has one kind of sink"
            problems.append(problem_at(audience.destination.node, "J231", message, hint=hint))
        of = world.attributes.get(audience.identity.name)
        if of is None:
            message = f'the profile has no attribute "{audience.identity.name}"'
            hint = did_you_mean(audience.identity.name, world.attributes, otherwise="set it in profile.yaml")
            problems.append(problem_at(audience.identity.node, "J207", message, hint=hint))
        elif of.kind not in {Kind.STRING, Kind.NULL}:
            message = f"who a customer is in an audience is text, and this is {described(of)}"
            problems.append(problem_at(audience.identity.node, "J431", message, hint="name another attribute"))
