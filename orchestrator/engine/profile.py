"""Profile rules: what an event says about the customer's attributes and consent."""

from __future__ import annotations

from orchestrator.engine.reach import apply_reach_rule
from orchestrator.engine.turn import Turn, note_change
from orchestrator.model.actions import Failure
from orchestrator.model.journey import ProfileRule


def apply_profile_rules(turn: Turn, rules: tuple[ProfileRule, ...]) -> None:
    """Sets what the rules take from the turn's event: attributes, consents, whether addresses are of use.

    Null leaves things as they are, or takes an attribute away where the rule says so.

    A rule that cannot be evaluated is recorded as failed and changes nothing.
    """
    profile = turn.customer.profile
    consents = turn.customer.consent
    for rule in rules:
        try:
            for attribute, expression, store in rule.attributes:
                value = expression.evaluate(turn)
                if value is None:
                    if rule.nulls_clear and profile.pop(attribute, None) is not None:
                        note_change(turn, attribute)
                else:
                    kept = value if store is None else store(value)
                    if profile.get(attribute) != kept:
                        profile[attribute] = kept
                        note_change(turn, attribute)
            for key_of, granted_of in rule.consent:
                key = key_of.evaluate(turn)
                granted = granted_of.evaluate(turn)
                if key is not None and granted is not None:
                    consents[key] = bool(granted)
            for reach in rule.reach:
                apply_reach_rule(turn, reach)
        except ArithmeticError as error:
            turn.effects.failures.append(Failure("", "profile", f"{type(error).__name__} in a rule on {rule.on}"))
