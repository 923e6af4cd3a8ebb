"""That whoever is inside an older version may come into the new one, proved with both at hand."""

from __future__ import annotations

import pytest

from orchestrator.authoring.compiler import Compilation, compile_journeys
from orchestrator.authoring.migration_proof import prove
from tests.authoring.cases import fixture_events, fixture_sources

HEAD = "journey: cart\nowner: o@shop.example\nstatus: live\nentry: {on: cart_updated}\n"
OLD = """
  hello: {send: email, template: reminder, with: {value: 1}}
  pause: {wait: 1 day}
  react: {wait_for: [{on: email_clicked}], timeout: 1 day}
  again: {send: email, template: reminder, with: {value: 2}}
"""
CAPS = "caps: [{name: weekly, channels: all, max: 9, per: 7 days}]\n"
QUIET = "quiet_hours: [{channels: all, from: '22:00', to: '08:00'}]\n"


def compiled(steps: str, migrate: str = "", *, policies: str = CAPS) -> Compilation:
    declared = f"migrate: {migrate}\n" if migrate else ""
    text = f"{HEAD}{declared}steps:{steps}"
    changed = {"cart.yaml": text, "policies.yaml": policies, "cart.scenarios.yaml": "scenarios: []"}
    made = compile_journeys(fixture_sources(changed), fixture_events().types)
    assert made.journeys is not None, made.problems
    return made


def proved(old: str, new: str, migrate: str = "{from: any}", *, policies: str = CAPS) -> set[str]:
    before, after = compiled(old, policies=policies), compiled(new, migrate, policies=policies)
    assert before.journeys is not None
    assert after.journeys is not None
    return {problem.code for problem in prove(after.drafts, after.journeys, [before.journeys])}


RENAMED = OLD.replace("pause:", "breathe:").replace("hello:", "hi:")
LOOP = """
  hello: {send: email, template: reminder, with: {value: 1}}
  pause: {wait: 1 day, next: hello}
"""


@pytest.mark.parametrize(
    ("new", "migrate", "codes"),
    [
        (OLD.replace("1 day}", "2 days}"), "{from: any}", set()),
        (RENAMED, "{from: any}", {"J312"}),
        (RENAMED, "{from: any, steps: {pause: breathe}}", set()),
        (RENAMED, "{from: any, steps: {pause: hi}}", set()),
        (RENAMED, "{from: any, steps: {pause: hi, hello: hi}}", {"J313"}),
        (RENAMED, "{from: any, steps: {pause: breathe, nobody: hi}}", {"J311"}),
        (OLD.replace("pause:", "hm:"), "{from: any, steps: {pause: hello}}", {"J313"}),
        (OLD.replace("pause:", "hm:"), "{from: any, steps: {pause: again}}", set()),
        (OLD.replace("pause:", "hm:"), "{from: [abcdef]}", {"J310"}),
    ],
)
def test_each_step_that_customers_may_be_in_needs_one_that_repeats_nothing(
    new: str, migrate: str, codes: set[str]
) -> None:
    assert proved(OLD, new, migrate) == codes


def test_a_new_step_before_one_that_waits_is_nothing_that_anybody_comes_to() -> None:
    inserted = OLD.replace("  pause:", "  more: {send: email, template: reminder, with: {value: 3}}\n  pause:")
    assert proved(OLD, inserted) == set()


def test_a_message_that_comes_later_now_is_a_warning_unless_it_came_again_before() -> None:
    moved = """
  pause: {wait: 1 day}
  react: {wait_for: [{on: email_clicked}], timeout: 1 day}
  hello: {send: email, template: reminder, with: {value: 1}}
  again: {send: email, template: reminder, with: {value: 2}}
"""
    assert proved(OLD, moved) == {"J315"}
    assert proved(LOOP, LOOP.replace("1 day", "2 days")) == set()


def test_whoever_was_led_to_a_step_in_a_pause_may_stand_before_it() -> None:
    """The second version leads from a wait to a message, before which a paused passage then stands still."""
    rest = "  react: {wait_for: [{on: email_clicked}], timeout: 1 day}\n"
    message = "  more: {send: email, template: reminder, with: {value: 3}}\n"
    first = compiled(f"\n  pause: {{wait: 1 day}}\n{rest}").journeys
    second = compiled(f"\n{message}{rest}", "{from: any, steps: {pause: more}}").journeys
    assert first is not None
    assert second is not None
    for migrate, older, codes in (
        ("{from: any, steps: {pause: react}}", [first, second], {"J312"}),
        ("{from: any, steps: {pause: react, more: react}}", [first, second], set()),
        ("{from: any, steps: {more: react}}", [second], set()),
        ("{from: any}", [second], set()),
    ):
        third = compiled(f"\n{rest}", migrate)
        assert third.journeys is not None
        assert {problem.code for problem in prove(third.drafts, third.journeys, older)} == codes


def test_a_message_can_be_waited_in_only_where_something_holds_it() -> None:
    without = OLD.replace("  again: {send: email, template: reminder, with: {value: 2}}\n", "")
    rates = "rates: [{channels: [email], max: 100, per: 1 minute}]\n"
    others = "rates: [{channels: [sms], max: 100, per: 1 minute}]\n"
    assert proved(OLD, without) == set()
    assert proved(OLD, without, policies=others) == set()
    assert proved(OLD, without, policies=QUIET) == {"J312"}
    assert proved(OLD, without, policies=rates) == {"J312"}
    assert proved(OLD, without, "{from: any, steps: {again: pause}}", policies=QUIET) == set()
    assert proved(OLD, OLD.replace("1 day}", "2 days}"), policies=QUIET) == set()
    assert proved(LOOP, LOOP.replace("1 day", "2 days"), policies=QUIET) == set()
    twice = LOOP.replace("  pause:", "  again: {send: email, template: reminder, with: {value: 2}}\n  pause:")
    assert proved(twice, twice.replace("1 day", "2 days"), policies=QUIET) == set(), "a held round goes on as before"


def test_a_condition_that_changes_may_let_everybody_go_on_at_once() -> None:
    source = """
  hold: {wait_while: consent.email, timeout: 9 days, on_timeout: end}
  hello: {send: email, template: reminder, with: {value: 1}}
  pause: {wait: 1 day, next: hold}
  end: {exit: over}
"""
    assert proved(source, source.replace("9 days", "8 days")) == set()
    assert proved(source, source.replace("consent.email", "consent.sms")) == {"J313"}
    assert proved(source, source.replace("9 days", "8 days"), "{from: any, timers: restart}") == {"J313"}


def test_entry_fields_that_older_passages_lack_must_be_allowed_to() -> None:
    react = "react: {wait_for: [{on: email_clicked}], timeout: 1 day}"
    branch = "react: {branch: [{when: entry.FIELD == 1, go: again}, {otherwise: again}]}"
    for field, migrate, codes in (
        ("pieces", "{from: any, steps: {react: again}}", {"J314"}),
        ("pieces", "{from: any, entry: {pieces: 1}}", set()),
    ):
        assert proved(OLD, OLD.replace(react, branch.replace("FIELD", field)), migrate) == codes
    optional = OLD.replace(react, branch.replace("entry.FIELD == 1", "entry.note == 'x'"))
    assert proved(OLD, optional) == set()


def test_versions_that_do_not_come_along_need_nothing() -> None:
    before = compiled(OLD)
    assert before.journeys is not None
    version = before.journeys.current["cart"].version
    assert proved(OLD, RENAMED, f"{{from: [{version[:8]}]}}") == {"J312"}
    after = compiled(RENAMED, "{from: any}")
    assert after.journeys is not None
    assert prove(after.drafts, after.journeys, []) == ()
    assert prove(after.drafts, after.journeys, [after.journeys]) == ()
