"""Checked steps that ask for something other than a message -> what the engine executes."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, assert_never

from orchestrator.authoring.drafts import ActionDraft, ChangeAudienceDraft, IncrementDraft
from orchestrator.authoring.expression_closures import stored
from orchestrator.authoring.expression_nodes import Apply, Attribute, Constant
from orchestrator.authoring.expression_types import as_decimal
from orchestrator.authoring.expressions import Checked, compile_checked
from orchestrator.authoring.world import World
from orchestrator.model.action_steps import ActionStep, ChangeAudience, Increment
from orchestrator.model.journey import Audience, Expression
from orchestrator.model.types import Kind, Type

if TYPE_CHECKING:
    from orchestrator.authoring.lowering import Lowering


def lower_action(step: ActionDraft, following: str, lowering: Lowering) -> ActionStep:
    """The step as the engine executes it."""
    match step:
        case IncrementDraft():
            attributes = lowering.world.attributes
            sums = tuple(
                (
                    attribute.name,
                    _sum(attribute.name, attributes[attribute.name], lowering.checked[formula], lowering),
                    stored(attributes[attribute.name]),
                )
                for attribute, formula in step.increments
            )
            return Increment(step.name.name, sums, following)
        case ChangeAudienceDraft():
            names = tuple(ref.name for ref in step.audiences)
            return ChangeAudience(step.name.name, names, step.is_add, step.priority, step.expires_ms, following)
        case _:
            assert_never(step)


def _sum(attribute: str, of: Type, by: Checked, lowering: Lowering) -> Expression:
    """The attribute, or nothing where there is none, and the increment; exact where the attribute is a decimal."""
    before = Attribute(Type(of.kind, nullable=True), attribute)
    is_decimal = of.kind is Kind.DECIMAL
    nothing = Constant(of, Decimal(0) if is_decimal else 0, "0")
    added = as_decimal(by.node) if is_decimal else by.node
    node = Apply(Type(of.kind, nullable=True), "+", (Apply(of, "??", (before, nothing)), added))
    return compile_checked(Checked(f"{attribute} + {by.text}", node), lowering.captured)


def lower_audiences(world: World) -> dict[str, Audience]:
    """The audiences by name."""
    return {
        name: Audience(
            name,
            audience.destination.name,
            f"actions.{audience.destination.name}",
            audience.identity.name,
            audience.consent.name,
        )
        for name, audience in sorted(world.audiences.items())
    }
