"""What compiling gives: steps, versions, sets; and that no source can make it raise."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.authoring.compiler import Compilation, compile_journeys, with_pinned
from orchestrator.authoring.event_schemas import event_types_from_texts, read_schema_texts
from orchestrator.authoring.lowering import SCALE
from orchestrator.authoring.sources import Sources, read_sources
from orchestrator.model.customer import Instance
from orchestrator.model.journey import (
    Branch,
    Exit,
    JourneySet,
    Scope,
    Send,
    SetProfile,
    Split,
    Status,
    Wait,
    WaitFor,
)
from orchestrator.model.problems import EnvironmentProblem
from tests.authoring.cases import FIXTURES, fixture_events, fixture_sources

EVENTS = fixture_events().types
CART = fixture_sources().files["cart.yaml"]
SMALL = """journey: {name}
owner: team@shop.example
status: {status}
entry: {{on: cart_updated}}
steps:
  pause: {{wait: 1 hour}}
"""


def compiled(changed: dict[str, str] | None = None) -> JourneySet:
    compilation = compile_journeys(fixture_sources(changed), EVENTS)
    assert compilation.journeys is not None, compilation.problems
    return compilation.journeys


def changed_cart(old: str, new: str) -> JourneySet:
    assert old in CART
    return compiled({"cart.yaml": CART.replace(old, new)})


def version(journeys: JourneySet, name: str = "cart") -> str:
    return journeys.current[name].version


def test_steps_become_what_the_engine_executes() -> None:
    journey = compiled().current["cart"]
    steps = journey.steps
    assert journey.first == "pause"
    assert steps["pause"] == Wait("pause", 3_600_000, "remind")
    remind, react, worth, choose = steps["remind"], steps["react"], steps["worth_it"], steps["choose"]
    assert isinstance(remind, Send)
    assert (remind.channels, remind.template, remind.next) == (("email",), "reminder", "react")
    assert (remind.message_class, remind.priority, remind.expires_after_ms) == ("promotional", 5, 86_400_000)
    assert isinstance(react, WaitFor)
    assert [(a.on, a.go) for a in react.awaited] == [("email_clicked", "done")]
    assert (react.timeout_ms, react.timeout_go) == (86_400_000, "worth_it")
    assert isinstance(worth, Branch)
    assert ([case.go for case in worth.cases], worth.otherwise) == (["offer"], "done")
    assert isinstance(choose, Split)
    assert choose.salt == "cart/choose"
    assert [(arm.go, arm.until) for arm in choose.arms] == [("note", SCALE // 2), ("done", SCALE)]
    assert isinstance(steps["note"], SetProfile)
    assert steps["done"] == Exit("done", "finished")
    assert journey.holdout == SCALE // 20
    assert journey.goal is not None
    assert journey.goal.within_ms == 7 * 86_400_000


def test_the_last_step_ends_the_journey_with_the_reason_finished() -> None:
    journey = compiled({"small.yaml": SMALL.format(name="small", status="live")}).current["small"]
    assert journey.steps["pause"] == Wait("pause", 3_600_000, "_end")
    assert journey.steps["_end"] == Exit("_end", "finished")


def test_shares_of_thirds_cover_the_whole_scale() -> None:
    journey = changed_cart("{note: 50%, done: 50%}", "{note: 33.3%, done: 33.3%, pause: 33.4%}").current["cart"]
    choose = journey.steps["choose"]
    assert isinstance(choose, Split)
    assert choose.arms[-1].until == SCALE


def test_entry_fields_that_are_used_are_captured_in_name_order_and_stored_as_text_if_decimal() -> None:
    journey = changed_cart("entry.value >= 100", "entry.value >= 100 or entry.pieces > 3").current["cart"]
    assert [captured.field for captured in journey.captured] == ["cart_id", "pieces", "value"]
    stores = [captured.store for captured in journey.captured]
    assert stores[:2] == [None, None]
    assert stores[2] is not None
    assert stores[2](Decimal("1.50")) == "1.50"
    assert stores[2](None) is None


def test_decimals_inside_lists_and_records_are_stored_as_text() -> None:
    journey = changed_cart("{value: entry.value}", "{value: entry.items}").current["cart"]
    items = next(captured for captured in journey.captured if captured.field == "items")
    assert items.store is not None
    assert items.store([{"sku": "a", "price": Decimal("2.50")}]) == [{"sku": "a", "price": "2.50"}]


def test_a_journey_listens_to_awaited_exit_and_goal_events_and_to_what_its_exit_conditions_look_at() -> None:
    assert compiled().current["cart"].listens == {"email_clicked", "order_placed", "consent_changed"}


def test_event_types_that_nothing_refers_to_are_not_wanted() -> None:
    wanted = compiled().wanted
    assert wanted == {"cart_updated", "order_placed", "email_clicked", "customer_registered", "consent_changed"}
    without = {"cart.yaml": SMALL.format(name="cart", status="live")}
    assert "order_placed" not in compiled(without).wanted


@pytest.mark.parametrize(
    ("status", "is_entered", "has_version"),
    [("live", True, True), ("shadow", True, True), ("retired", False, True), ("draft", False, False)],
)
def test_status_says_who_enters_and_who_is_decided_for(status: str, *, is_entered: bool, has_version: bool) -> None:
    journeys = compiled({"small.yaml": SMALL.format(name="small", status=status)})
    entered = {journey.name for entered in journeys.entries.values() for journey in entered}
    assert ("small" in entered) == is_entered
    assert (("small", version(journeys, "small")) in journeys.versions) == has_version
    assert journeys.current["small"].status is Status(status)


def test_journeys_that_start_on_the_same_event_are_entered_in_name_order() -> None:
    names = ["zebra", "apple"]
    journeys = compiled({f"{name}.yaml": SMALL.format(name=name, status="live") for name in names})
    assert [journey.name for journey in journeys.entries["cart_updated"]] == ["apple", "cart", "zebra"]


@pytest.mark.parametrize(
    "changed",
    [
        {"cart.yaml": f"# a comment\n{CART.replace('holdout: 5%', 'holdout:    5%  # some')}"},
        {
            "cart.yaml": CART.replace("title: Bring back a full cart\n", "").replace(
                "owner:", "title: Bring back a full cart\nowner:"
            )
        },
        {"small.yaml": SMALL.format(name="small", status="live")},
        {"policies.yaml": "caps:\n  - {name: other, channels: all, max: 9, per: 1 day}\n"},
        {"cart.scenarios.yaml": "scenarios: []\n"},
        {"templates/reminder/sms.liquid": "Still {{ value }} EUR."},
        {"templates/unused/email.liquid": "Hello."},
    ],
)
def test_a_version_does_not_change_with_comments_formatting_or_other_files(changed: dict[str, str]) -> None:
    assert version(compiled(changed)) == version(compiled())


FILES = fixture_sources().files


@pytest.mark.parametrize(
    "changed",
    [
        {"cart.yaml": CART.replace("1 hour", "2 hours")},
        {"cart.yaml": CART.replace("{note: 50%, done: 50%}", "{done: 50%, note: 50%}")},
        {"templates/reminder/email.liquid": FILES["templates/reminder/email.liquid"] + "!"},
        {"channels.yaml": FILES["channels.yaml"].replace("consent: sms", "consent: email")},
        {"profile.yaml": FILES["profile.yaml"].replace("granted: event.granted", "granted: not event.granted")},
    ],
)
def test_a_version_changes_with_everything_that_decides_about_those_inside(changed: dict[str, str]) -> None:
    assert version(compiled(changed)) != version(compiled())


def test_the_set_id_follows_sources_and_schemas_but_not_scenarios_or_the_formatting_of_schemas() -> None:
    base = compiled().set_id
    assert compiled({"cart.scenarios.yaml": "scenarios: []"}).set_id == base
    assert compiled({"cart.yaml": CART + "# comment\n"}).set_id != base
    texts = read_schema_texts(FIXTURES / "schemas")
    reformatted = {name: json.dumps(json.loads(text), indent=7) for name, text in texts.items()}
    again = compile_journeys(fixture_sources(), event_types_from_texts(reformatted).types)
    assert again.journeys is not None
    assert again.journeys.set_id == base
    fewer = {name: text for name, text in texts.items() if name != "order_placed.avsc"}
    other = {**fewer, "order_placed.avsc": texts["order_placed.avsc"].replace('"currency"', '"money"')}
    changed = compile_journeys(fixture_sources(), event_types_from_texts(other).types)
    assert changed.journeys is not None
    assert changed.journeys.set_id != base


def test_pinned_versions_are_added_and_entries_stay_those_of_the_current_set() -> None:
    old = compiled()
    small = compiled({"cart.yaml": SMALL.format(name="cart", status="live")})
    both = with_pinned(small, [old])
    assert set(both.versions) == {("cart", version(old)), ("cart", version(small))}
    assert both.entries == small.entries
    assert both.current == small.current
    assert both.wanted == small.wanted | old.current["cart"].listens
    assert both.set_id == small.set_id


def test_a_channel_that_only_an_older_version_sends_on_is_kept_for_it() -> None:
    files = fixture_sources().files
    changed = {
        "cart.yaml": CART.replace("[sms, email]", "email"),
        "channels.yaml": files["channels.yaml"].replace("  sms: {address: phone, consent: sms}\n", ""),
        "cart.scenarios.yaml": "scenarios: []",
    }
    kept = {path: text for path, text in {**files, **changed}.items() if path != "templates/offer/sms.liquid"}
    now = compile_journeys(Sources(files=kept), EVENTS).journeys
    assert now is not None
    assert set(now.channels) == {"email"}
    assert set(with_pinned(now, [compiled()]).channels) == {"email", "sms"}


def test_a_journey_that_was_taken_away_stays_for_those_inside() -> None:
    old = compiled({"small.yaml": SMALL.format(name="small", status="live")})
    both = with_pinned(compiled(), [old])
    assert ("small", version(old, "small")) in both.versions
    assert "small" not in both.current


def test_instants_and_dates_reach_templates_as_such() -> None:
    changed = {
        "cart.yaml": CART.replace("{value: entry.value}", "{value: entry.occurred_at}"),
        "templates/reminder/email.liquid": "{{ value | date: '%e %B %Y' }}",
    }
    step = compiled(changed).current["cart"].steps["remind"]
    assert isinstance(step, Send)
    scope = Scope()
    journey = compiled(changed).current["cart"]
    entry = [1_709_164_800_000 if captured.field == "occurred_at" else "0" for captured in journey.captured]
    scope.instance = Instance(1, "cart", "v", "", 0, 0, "", 0, 0, entry, {})
    variables = {name: expression.evaluate(scope) for name, expression in step.variables} | {"profile": {}}
    assert step.renders["email"]("", variables)[1]["body"] == "29 February 2024"


def test_attribute_types_are_inferred_through_steps_that_build_on_each_other() -> None:
    changed = CART.replace(
        "{wants_discount: true}", "{visits: (profile.visits ?? 0) + 1, mean: profile.visits / 2, last: profile.spent}"
    )
    attributes = compiled({"cart.yaml": changed}).attributes
    assert {name: str(attributes[name]) for name in ("visits", "mean", "last")} == {
        "visits": "integer",
        "mean": "float",
        "last": "decimal",
    }


def test_a_missing_directory_is_a_problem_of_the_environment(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem):
        read_sources(tmp_path / "nowhere")


def test_hidden_files_and_other_kinds_of_files_are_not_read(tmp_path: Path) -> None:
    for name in ("a.yaml", ".b.yaml", "c.md", "d.yml", ".git/e.yaml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x: 1")
    assert set(read_sources(tmp_path).files) == {"a.yaml", "d.yml"}


def test_problems_are_sorted_and_all_of_them_are_reported() -> None:
    text = (
        CART.replace("event.value > 0", "event.vlaue > 0").replace("go: offer", "go: ofer").replace("1 day", "1 moon")
    )
    compilation = compile_journeys(fixture_sources({"cart.yaml": text}), EVENTS)
    assert compilation.journeys is None
    assert [problem.code for problem in compilation.problems] == ["J202", "J501", "J203"]
    assert list(compilation.problems) == sorted(compilation.problems)


MUTATIONS = st.tuples(
    st.sampled_from(sorted(FILES)),
    st.integers(0, 2_000),
    st.integers(0, 40),
    st.sampled_from(
        [
            "",
            " ",
            "\n",
            "\t",
            ":",
            "- ",
            "'",
            "{",
            "]",
            "}}",
            "{{",
            "{%",
            "&a ",
            "*a",
            "é",
            "\x00",
            "0",
            "event.",
            "null",
            "%",
            "---\n",
        ]
    )
    | st.text(max_size=5),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(MUTATIONS, min_size=1, max_size=4))
def test_a_damaged_source_gives_problems_and_never_an_exception(mutations: list[tuple[str, int, int, str]]) -> None:
    files = dict(FILES)
    for name, start, length, new in mutations:
        text = files[name]
        at = start % (len(text) + 1)
        files[name] = text[:at] + new + text[at + length :]
    compilation = compile_journeys(Sources(files=files), EVENTS)
    assert_sound(compilation)


@pytest.mark.parametrize("sums", ["{odd: profile.odd}", "{odd: profile.even, even: profile.odd}"])
def test_an_attribute_that_is_set_to_itself_only_is_refused(sums: str) -> None:
    text = SMALL.format(name="odd", status="live") + f"  one: {{set: {sums}}}\n  two: {{wait: 1 day}}\n"
    text = text.replace("steps:", "exit: {when: profile.odd == 3}\nsteps:")
    problems = compile_journeys(fixture_sources({"odd.yaml": text}), EVENTS).problems
    assert {(p.code, p.message) for p in problems} >= {
        ("J411", 'attribute "odd" is set to itself only, so it never has a value')
    }


@settings(max_examples=200)
@given(
    st.dictionaries(
        st.sampled_from([*FILES, "x.yaml", "y.liquid", "templates/a/b.liquid"]) | st.text(max_size=8),
        st.text(max_size=60),
        max_size=5,
    )
)
def test_any_texts_give_problems_and_never_an_exception(files: dict[str, str]) -> None:
    assert_sound(compile_journeys(Sources(files=files), EVENTS))
    assert_sound(compile_journeys(Sources(files={f"{name}.yaml": text for name, text in files.items()}), EVENTS))


def assert_sound(compilation: Compilation) -> None:
    errors = [problem for problem in compilation.problems if problem.severity == "error"]
    assert (compilation.journeys is None) == bool(errors)
    for problem in compilation.problems:
        assert problem.line >= 1
        assert problem.column >= 1


@given(st.binary(max_size=300))
def test_any_bytes_in_a_file_give_problems_and_never_an_exception(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = tmp_path_factory.mktemp("journeys")
    (folder / "cart.yaml").write_bytes(content)
    assert_sound(compile_journeys(read_sources(folder), EVENTS))


def test_loading_pins_nothing_to_the_place_of_the_files() -> None:
    sources = fixture_sources()
    moved = replace(sources, root="elsewhere")
    first, second = compile_journeys(sources, EVENTS).journeys, compile_journeys(moved, EVENTS).journeys
    assert first is not None
    assert second is not None
    assert (first.set_id, set(first.versions)) == (second.set_id, set(second.versions))


def test_a_call_that_yaml_cuts_off_at_its_comma_says_to_put_quotes_around_it() -> None:
    text = SMALL.format(name="cut", status="live").replace(
        "{on: cart_updated}", "{on: cart_updated, where: count(cart_updated, 7 days) > 2}"
    )
    problems = compile_journeys(fixture_sources({"cut.yaml": text}), EVENTS).problems
    assert [(problem.code, problem.hint) for problem in problems] == [
        ("J197", 'put quotes around the whole value: "count(cart_updated, 7 days) > 2"')
    ]
