"""What another journey set would change."""

from __future__ import annotations

from orchestrator.authoring.changes import NOTHING, Changes, Side, changes_between, side_of
from tests.authoring.cases import fixture_events, fixture_sources

CART = "cart.yaml"


def side(**changed: str) -> Side:
    return side_of(fixture_sources(changed).files, fixture_events().types)


def cart(old: str, new: str) -> Side:
    text = fixture_sources().files[CART]
    assert old in text
    return side(**{CART: text.replace(old, new)})


def changes_of(after: Side) -> Changes:
    return changes_between(side(), after)


def test_nothing_changes_where_only_comments_spacing_and_scenarios_do() -> None:
    assert not changes_of(cart("pause: {wait: 1 hour}", "pause:   {wait: 1 hour}   # an hour"))
    assert not changes_of(side(**{"cart.scenarios.yaml": "scenarios: []"}))


def test_steps_that_are_new_gone_and_different_are_told_apart() -> None:
    after = cart("pause: {wait: 1 hour}", "pause: {wait: 2 hours}\n  breath: {wait: 1 minute}")
    change = changes_of(after).journeys[0]
    assert (change.kind, change.steps_added, change.steps_removed) == ("changed", ("breath",), ())
    assert change.steps_changed == ("pause",)
    assert "+  pause: {wait: 2 hours}" in change.diff
    assert change.version != change.version_before
    back = changes_between(after, side()).journeys[0]
    assert (back.steps_removed, back.steps_changed) == (("breath",), ("pause",))


def test_settings_and_the_order_of_steps_are_named() -> None:
    change = changes_of(cart("status: live", "status: retired")).journeys[0]
    assert (change.settings, change.status_before, change.status) == (("status",), "live", "retired")
    moved = cart("  note: {set: {wants_discount: true}}\n  done", "  done").files[CART] + (
        "  note: {set: {wants_discount: true}}\n"
    )
    assert changes_of(side(**{CART: moved})).journeys[0].settings == ("order of steps",)


def test_a_template_that_a_journey_uses_changes_the_journey() -> None:
    path = next(path for path in fixture_sources().files if path.startswith("templates/reminder/email"))
    found = changes_of(side(**{path: fixture_sources().files[path] + "more"}))
    assert [file.path for file in found.templates] == [path]
    change = found.journeys[0]
    assert (change.settings, change.steps_changed) == ((), ())
    assert change.version != change.version_before


def test_journeys_that_come_and_go_have_all_their_steps() -> None:
    added = changes_between(NOTHING, side()).journeys[0]
    assert (added.kind, added.version_before) == ("added", "")
    assert added.steps_added[0] == "pause"
    removed = changes_between(side(), NOTHING).journeys[0]
    assert (removed.kind, removed.version, removed.steps_removed) == ("removed", "", added.steps_added)


def test_changed_rules_are_shown_with_their_difference() -> None:
    policies = fixture_sources().files["policies.yaml"]
    found = changes_of(side(**{"policies.yaml": policies.replace("max: 3", "max: 2")})).rules
    assert [(file.path, file.kind) for file in found] == [("policies.yaml", "changed")]
    assert "max: 2" in found[0].diff


def test_an_aggregate_that_nobody_kept_before_starts_empty() -> None:
    counted = cart("where: event.value > 0", "where: event.value > 0 and count(order_placed, 30 days) == 0")
    assert changes_of(counted).aggregates == ("count(order_placed, 30 days)",)
    assert changes_between(counted, side()).aggregates == ()
