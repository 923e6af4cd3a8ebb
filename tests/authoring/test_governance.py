"""What the rules of the house have against bringing journeys into force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from orchestrator.authoring.approvals import (
    Approval,
    Change,
    Refusal,
    about_journey,
    given_approvals,
    journey_content,
    move_version,
    refusals,
    removal_content,
    rules_version,
)
from orchestrator.authoring.changes import NOTHING, Side, side_of
from orchestrator.authoring.compiler import compile_journeys
from orchestrator.authoring.sources import Sources
from tests.authoring.cases import fixture_events, fixture_sources

ANNA, BEN, CORA = "anna@shop.example", "ben@shop.example", "cora@shop.example"
GOVERNANCE = f"""
groups:
  leads: [{ANNA}, {BEN}]
  compliance: [{CORA}]
environments:
  production:
    forbid: [draft]
    approvals:
      - {{for: live, by: leads}}
  staging: {{}}
"""
CART = fixture_sources().files["cart.yaml"]


def side(governance: str = GOVERNANCE, cart: str = CART, **files: str) -> Side:
    own = {"governance.yaml": governance, "cart.yaml": cart}
    changed = {**own, **{f"{name}.yaml": text for name, text in files.items()}}
    made = side_of(fixture_sources(changed).files, fixture_events().types)
    assert made.journeys is not None
    return made


def against(
    after: Side,
    *words: Approval,
    before: Side = NOTHING,
    who: str = "ci",
    environment: str = "production",
    environment_before: str = "",
) -> list[str]:
    change = Change(before, after, who, environment, environment_before)
    return [str(refusal) for refusal in refusals(change, given_approvals(words))]


def word(of: Side, who: str, *, is_given: bool = True) -> Approval:
    return Approval(about_journey("cart"), of.version("cart"), who, is_given)


def test_without_rules_of_the_house_nothing_is_demanded() -> None:
    after = side_of(fixture_sources().files, fixture_events().types)
    assert against(after) == []


def test_a_live_journey_needs_an_approval_of_just_this_content() -> None:
    after = side()
    version = after.version("cart")[:8]
    (reason,) = against(after)
    assert reason == f"cart: version {version} is not approved by somebody of leads (it is new or changes)"
    assert against(after, word(after, ANNA)) == []
    changed = side(cart=CART.replace("1 hour", "2 hours"))
    (reason,) = against(changed, word(after, ANNA))
    assert "it has changed since it was approved" in reason


def test_a_paused_journey_needs_the_approvals_of_a_live_one_and_pausing_needs_none() -> None:
    live = side()
    paused = side(cart=CART.replace("status: live", "status: paused"))
    assert len(against(paused)) == 1
    assert against(paused, word(live, ANNA)) == []
    assert against(paused, before=live) == against(live, before=paused) == []


def test_a_journey_that_does_not_change_needs_none_again() -> None:
    before = side()
    after = side(cart=f"# A comment is no change.\n{CART}")
    assert against(after, before=before) == []


@pytest.mark.parametrize("who", [CORA, "nobody", ANNA.upper()])
def test_only_people_of_the_group_may_approve(who: str) -> None:
    after = side()
    assert len(against(after, word(after, who))) == 1


def test_an_approval_that_was_taken_back_does_not_count() -> None:
    after = side()
    assert len(against(after, word(after, ANNA), word(after, ANNA, is_given=False))) == 1
    assert against(after, word(after, ANNA), word(after, BEN), word(after, ANNA, is_given=False)) == []


def test_neither_the_owner_nor_who_applies_can_approve_unless_the_rules_allow_it() -> None:
    after = side()
    assert len(against(after, word(after, ANNA), who=ANNA)) == 1
    owned = side(cart=CART.replace("lifecycle@shop.example", ANNA))
    assert len(against(owned, word(owned, ANNA))) == 1
    trusting = side(GOVERNANCE.replace("by: leads", "by: leads, not_author: false"))
    assert against(trusting, word(trusting, ANNA), who=ANNA) == []


def test_so_many_different_people_have_to_approve_as_the_rules_say() -> None:
    after = side(GOVERNANCE.replace("by: leads", "by: leads, count: 2"))
    assert "2 people of leads" in against(after, word(after, ANNA), word(after, ANNA))[0]
    assert against(after, word(after, ANNA), word(after, BEN)) == []


def test_the_approver_that_the_journey_names_has_to_be_among_them() -> None:
    rules = GOVERNANCE.replace("by: leads", "by: [leads, compliance]")
    after = side(rules, CART.replace("status: live", "approver: compliance\nstatus: live"))
    (reason,) = against(after, word(after, ANNA))
    assert "by who approves of this journey" in reason
    assert against(after, word(after, CORA)) == []


def test_a_rule_may_be_about_single_journeys_and_other_statuses() -> None:
    assert against(side(cart=CART.replace("status: live", "status: shadow"))) == []
    other = GOVERNANCE.replace("for: live, by: leads", "for: live, by: leads, journeys: [cart]")
    assert len(against(side(other))) == 1


def test_a_draft_is_refused_where_it_is_forbidden_also_if_it_does_not_change() -> None:
    after = side(cart=CART.replace("status: live", "status: draft"))
    expected = ["cart: a journey that is draft may not come into force in production"]
    assert against(after) == against(after, before=after) == expected
    assert against(after, environment="staging") == []


def test_an_environment_that_the_rules_do_not_know_is_refused() -> None:
    assert against(side(), environment="prodution") == ['environment: governance.yaml knows no environment "prodution"']


def test_the_rules_for_all_journeys_need_an_approval_where_it_is_demanded() -> None:
    rules = GOVERNANCE.replace("for: live", "for: rules")
    after = side(rules)
    approval = Approval("rules", rules_version(after.files), BEN)
    assert against(after)[0].startswith("rules: version ")
    assert against(after, approval) == []
    other = side(rules, policies="caps:\n  - {name: weekly, channels: all, max: 9, per: 7 days}\n")
    assert len(against(other, approval, before=after)) == 1
    spaced = side(f"# only words\n{rules}")
    assert against(spaced, before=after) == []


def test_no_change_lifts_the_rules_that_forbid_it() -> None:
    before = side()
    changed = CART.replace("1 hour", "2 hours")
    without = side_of(fixture_sources({"cart.yaml": changed}).files, fixture_events().types)
    assert against(without, before=before)[0].startswith("cart: version ")
    lenient = side(GOVERNANCE.replace("      - {for: live, by: leads}", "      - {for: retired, by: leads}"), changed)
    assert against(lenient, before=before)[0].startswith("cart: version ")
    # Saying that production is staging does not help either.
    after = side(cart=changed)
    assert against(after, before=before, environment="staging", environment_before="production")
    assert against(after, before=before, environment="staging", environment_before="staging") == []


def test_every_reason_is_named_with_what_to_do_about_it() -> None:
    rules = GOVERNANCE.replace("- {for: live, by: leads}", "- {for: [draft, rules], by: leads}")
    after = side(rules, CART.replace("status: live", "status: draft"))
    found = refusals(Change(NOTHING, after, "ci", "production"), {})
    assert [refusal.about for refusal in found] == ["cart", "cart", "rules"]
    hints = {refusal.hint for refusal in found}
    assert f"{ANNA} or {BEN}: orchestrator approve cart --why ..." in hints
    assert f"{ANNA} or {BEN}: orchestrator approve --rules --why ..." in hints
    assert all(refusal.hint for refusal in found)


def problems(files: Mapping[str, str]) -> dict[str, str]:
    compilation = compile_journeys(Sources(files={**fixture_sources().files, **files}), fixture_events().types)
    return {problem.code: problem.severity for problem in compilation.problems}


@pytest.mark.parametrize(("status", "severity"), [("live", "error"), ("shadow", "error"), ("draft", "warning")])
def test_what_is_unfinished_may_be_incomplete(status: str, severity: str) -> None:
    rules = "require:\n  owners: ['*@bank.example']\n  approver: true\n  promotional_basis: [consent]\n"
    cart = CART.replace("status: live", f"status: {status}")
    found = problems({"governance.yaml": rules, "cart.yaml": cart})
    assert {code: found[code] for code in ("J286", "J288", "J290")} == dict.fromkeys(("J286", "J288", "J290"), severity)


def test_a_purpose_may_come_from_the_step_the_journey_or_the_default() -> None:
    rules = {"governance.yaml": "require: {promotional_basis: [consent]}\n"}
    policies = "purposes:\n  news: {consent: email}\n"
    assert problems(rules)["J288"] == "error"
    assert "J288" not in problems({**rules, "policies.yaml": f"{policies}default_purpose: news\n"})
    of_journey = CART.replace("status: live", "purpose: news\nstatus: live")
    assert "J288" not in problems({**rules, "policies.yaml": policies, "cart.yaml": of_journey})
    transactional = CART.replace("template: reminder", "template: reminder\n    class: transactional").replace(
        "template: offer}", "template: offer, class: transactional}"
    )
    assert "J288" not in problems({**rules, "cart.yaml": transactional})


def test_an_owner_of_blanks_is_none() -> None:
    assert problems({"cart.yaml": CART.replace("lifecycle@shop.example", '" "')})["J110"] == "error"


MIGRATE = "migrate:\n  from: any\n  steps: {pause: offer}\n  timers: restart\n"


@pytest.mark.parametrize("moving", [MIGRATE, "resume: expire\n"])
def test_what_moves_those_who_are_inside_already_needs_an_approval_though_no_version_changes(moving: str) -> None:
    live = side()
    after = side(cart=CART.replace("steps:\n", f"{moving}steps:\n", 1))
    assert after.version("cart") == live.version("cart")
    for words in ((), (word(live, ANNA),)):
        (reason,) = against(after, *words, before=live)
        assert "with its migrate or resume" in reason
    approval = Approval(about_journey("cart"), journey_content(after, "cart"), ANNA)
    assert against(after, approval, before=live) == []
    assert against(after, before=after) == []
    # Pausing it stays exempt, as it is in an incident that nobody can wait for.
    paused = side(cart=CART.replace("steps:\n", f"{moving}steps:\n", 1).replace("status: live", "status: paused"))
    assert against(paused, before=after) == against(after, before=paused) == []


def test_production_does_not_become_staging_because_somebody_says_so() -> None:
    before, after = side(), side(cart=f"# Only a comment.\n{CART}")
    move = Change(before, after, "ci", "staging", "production")
    assert refusals(move, {}) == [
        Refusal(
            "environment",
            "production is in force here, not staging",
            "give --environment production, or --move-environment too if it is to be staging from now on",
        )
    ]
    meant = replace(move, is_move=True)
    (refusal,) = refusals(meant, {})
    assert refusal.reason.startswith("that production becomes staging (version ")
    assert "orchestrator approve --environment production --move-environment staging" in refusal.hint
    version = move_version(after.files, "production", "staging")
    given = given_approvals([Approval("environment/staging", version, BEN)])
    assert refusals(meant, given) == []
    assert refusals(replace(meant, who=BEN), given), "who applies cannot approve of it"
    back = replace(meant, environment="production", environment_before="staging")
    assert [refusal.about for refusal in refusals(back, given)] == ["cart"], "in production everything is new then"
    free = side_of(fixture_sources().files, fixture_events().types)
    assert refusals(replace(move, before=free, after=free), {}) == [], "without rules nothing is demanded"


RETIRING = GOVERNANCE.replace("- {for: live, by: leads}", "- {for: retired, by: leads}")
SALE = CART.replace("journey: cart", "journey: sale")


def test_taking_a_journey_out_needs_what_retiring_it_does() -> None:
    before, after = side(RETIRING, sale=SALE), side(RETIRING)
    (reason,) = against(after, before=before)
    version = before.version("sale")[:8]
    assert reason == f"sale: its removal (version {version}) is not approved by somebody of leads (it is taken out)"
    (refusal,) = refusals(Change(before, after, "ci", "production"), {})
    assert refusal.hint == f"{ANNA} or {BEN}: orchestrator approve sale --removal --why ..."
    of_journey = Approval(about_journey("sale"), journey_content(before, "sale"), ANNA)
    assert against(after, of_journey, before=before), "an approval of the journey is none of its removal"
    approval = Approval(about_journey("sale"), removal_content(before, "sale"), ANNA)
    assert against(after, approval, before=before) == []
    changed = side(RETIRING, sale=SALE.replace("1 hour", "2 hours"))
    assert against(after, approval, before=changed), "what is in force now is another journey"
    assert against(after, before=after) == []


@pytest.mark.parametrize(("status", "count"), [("live", 1), ("paused", 1), ("shadow", 1), ("draft", 0), ("retired", 0)])
def test_only_a_journey_that_lets_customers_in_or_keeps_them_asks_for_it(status: str, count: int) -> None:
    before = side(RETIRING, sale=SALE.replace("status: live", f"status: {status}"))
    assert len(against(side(RETIRING), before=before)) == count


@pytest.mark.parametrize(("status", "count"), [("live", 1), ("paused", 1), ("shadow", 1), ("retired", 0)])
def test_what_becomes_a_draft_again_asks_for_it_too_and_could_be_taken_out_freely_else(status: str, count: int) -> None:
    rules = RETIRING.replace("    forbid: [draft]\n", "")
    before = side(rules, sale=SALE.replace("status: live", f"status: {status}"))
    draft = side(rules, sale=SALE.replace("status: live", "status: draft"))
    assert len(against(draft, before=before)) == count
    assert against(draft, Approval(about_journey("sale"), journey_content(draft, "sale"), ANNA), before=before) == []
    assert against(draft, before=side(rules)) == []


def test_where_nobody_approves_of_retiring_a_journey_is_taken_out_freely_and_the_rules_cannot_go_with_it() -> None:
    assert against(side(), before=side(sale=SALE)) == []
    lenient = side(RETIRING.replace("for: retired", "for: shadow"))
    assert len(against(lenient, before=side(RETIRING, sale=SALE))) == 1
