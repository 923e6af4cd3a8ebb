"""Templates: parts, languages, escaping, bounds, and that a failure says nothing about the customer."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from liquid import Markup

from orchestrator.authoring.direct_rendering import direct_renderer
from orchestrator.authoring.liquid_sandbox import ESCAPING, PLAIN, date_filter
from orchestrator.authoring.rendering import renderer
from orchestrator.authoring.templates import TemplateFile, read_template
from orchestrator.model.journey import RenderProblem
from orchestrator.model.problems import Problem
from orchestrator.model.types import DATE, INSTANT, STRING, Type


def template(text: str, name: str = "email.liquid") -> TemplateFile:
    problems: list[Problem] = []
    file = read_template(f"templates/hello/{name}", text, problems)
    assert problems == []
    assert file is not None
    return file


def rendered(text: str, file: str = "email.liquid", /, **variables: Any) -> dict[str, str]:
    variables.setdefault("profile", {})
    return renderer([template(text, file)], {})("", variables)[1]


def test_front_matter_gives_parts_and_the_rest_is_the_body() -> None:
    text = '---\nsubject: Hi, {{ name | default: "you" }}\ntitle: "A: b"\n\n# a comment\n---\n\n<p>{{ name }}</p>\n'
    assert rendered(text, name="Ada") == {"subject": "Hi, Ada", "title": "A: b", "body": "<p>Ada</p>"}
    assert rendered(text)["subject"] == "Hi, you"


def test_a_missing_variable_is_empty() -> None:
    assert rendered("<p>{{ name }}{{ profile.first_name }}{{ item.sku }}</p>") == {"body": "<p></p>"}


def test_variables_are_escaped_in_the_body_of_an_email_and_nowhere_else() -> None:
    text = "---\nsubject: '{{ name }}'\n---\n{{ name }}{% if true %} {{ name }}{% endif %}"
    found = rendered(text, name="<b>&")
    assert found == {"subject": "<b>&", "body": "&lt;b&gt;&amp; &lt;b&gt;&amp;"}
    assert rendered("{{ name }}", "sms.liquid", name="<b>&") == {"body": "<b>&"}


def test_a_line_break_in_a_name_does_not_become_a_header_line() -> None:
    found = rendered("---\nsubject: Hi {{ name }}\n---\nx", name="Ada\r\nBcc: all@shop.example")
    assert found["subject"] == "Hi Ada Bcc: all@shop.example"


@pytest.mark.parametrize(
    ("language", "used", "body"),
    [
        ("de", "de", "Hallo"),
        ("DE", "de", "Hallo"),
        ("de-AT", "de", "Hallo"),
        ("pt-BR", "pt-br", "Oi"),
        ("fr", "default", "Hello"),
        ("", "default", "Hello"),
    ],
)
def test_the_language_that_fits_best_is_used(language: str, used: str, body: str) -> None:
    files = [template("Hello"), template("Hallo", "email.de.liquid"), template("Oi", "email.pt-BR.liquid")]
    assert renderer(files, {})(language, {"profile": {}}) == (used, {"body": body})


@pytest.mark.parametrize(
    "text",
    [
        "{{ x | divided_by: 0 }}",
        "{% for i in (1..5000) %}x{% endfor %}",
        "{% for i in x %}{{ i | divided_by: 0 }}{% endfor %}",
    ],
)
def test_a_failure_is_a_render_problem_that_says_nothing_about_the_customer(text: str) -> None:
    with pytest.raises(RenderProblem) as raised:
        rendered(text, x=[4711] if "in x" in text else 4711)
    assert "4711" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize("text", ["{% include 'x' %}", "{% render 'x' %}", "{{ x | safe }}"])
def test_files_and_unescaped_text_are_out_of_reach(text: str) -> None:
    problems: list[Problem] = []
    read_template("templates/hello/email.liquid", text, problems)
    assert [problem.code for problem in problems] == ["J604"]


def test_python_is_out_of_reach() -> None:
    assert rendered("{{ x.__class__ }}{{ x.__init__.__globals__ }}{{ profile.__class__ }}", x="a") == {"body": ""}


def test_the_date_filter_depends_on_no_clock_zone_or_locale() -> None:
    at = dt.datetime(2024, 2, 9, 7, 5, 3, tzinfo=dt.UTC)
    assert (
        date_filter(at, "%A %-d %B %Y %H:%M:%S %y %b %a %e %I %% %Q")
        == "Friday 9 February 2024 07:05:03 24 Feb Fri 9 07 % %Q"
    )
    assert date_filter(at.date(), "%d.%m.%Y") == "09.02.2024"
    assert date_filter("now", "%Y") == "now"
    assert date_filter(0, "%Y") == "0"
    assert date_filter(None, "%Y") == ""


def test_instants_and_dates_of_the_profile_are_printed_as_such() -> None:
    attributes: dict[str, Type] = {"seen": INSTANT, "born": DATE, "name": STRING}
    file = template(
        "{{ profile.seen | date: '%Y' }} {{ profile.born | date: '%Y' }} {{ profile.name }}{{ profile.gone }}"
    )
    profile = {"seen": 1_709_164_800_000, "born": 365, "name": "Ada"}
    assert renderer([file], attributes)("", {"profile": profile})[1]["body"] == "2024 1971 Ada"
    assert renderer([file], attributes)("", {"profile": {}})[1]["body"].strip() == ""
    assert profile["seen"] == 1_709_164_800_000


DIRECT = [
    "{{ a }}",
    "{{ b }}",
    "{{a}}",
    "{{ profile.a }}",
    "{{ profile['b'] }}",
    "{{ a | default: 'x<' }}",
    "x {{- profile.b -}} y",
    "{% if a %}x{{ b }}{% endif %}",
    "{%- if profile.a -%} yes {%- else %} no{{ b }}{% endif %}",
    "{% for i in items %}<{{ i.x }}{{ a }}{% endfor %}",
    "{% for i in b %}{{ i.x | default: '-' }}, {% endfor %}",
    "{% for a in items %}{% for b in a.x %}{{ b }}.{% endfor %}{% endfor %}{{ a }}",
    "{{ a.x }}",
]
"""What is rendered without Liquid."""
LEFT_TO_LIQUID = [
    "x{% if a %} {% endif %}y",
    "{% if a == b %}same{% elsif a %}a{% endif %}",
    "{%- for i in a -%}{{ i }}{% else %}none{% endfor %}",
    "{% for i in items limit: 1 %}{{ i.x }}{% endfor %}",
    "{% for i in items reversed %}{{ i.x }}{% endfor %}",
    "{% for i in items %}{{ forloop.index }}{% if i.x %}{{ i.x }}{% endif %}{% endfor %}",
    "{{ items.size }}{{ items.first.x }}",
    "{{ a | upcase }}",
    "{{ a | default: b }}",
    "{% assign c = a %}{{ c }}",
]
SIMPLE = st.lists(st.sampled_from(DIRECT) | st.text(alphabet="ab <>&\n'", max_size=6), min_size=1, max_size=6).map(
    "".join
)
PRINTED = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.text(max_size=5),
    st.just(Decimal("1.50")),
    st.lists(st.text(max_size=2)),
    st.lists(st.fixed_dictionaries({"x": st.integers() | st.text(max_size=2)}), max_size=3),
    st.fixed_dictionaries({"x": st.text(max_size=2)}),
    st.just(""),
)


@given(SIMPLE, PRINTED, PRINTED, st.booleans())
def test_the_short_cut_for_plain_variables_prints_what_liquid_prints(text: str, a: Any, b: Any, is_html: bool) -> None:
    if not text.strip():
        return
    variables = {"a": a, "b": b, "profile": {"a": a, "b": b}, "items": [{"x": a}, {"x": b}, {}]}
    sandbox = ESCAPING if is_html else PLAIN
    expected = sandbox.from_string(text.strip()).render(variables)
    found = rendered(text, "email.liquid" if is_html else "sms.liquid", **variables)
    assert found["body"] == expected
    assert not isinstance(found["body"], Markup)


@pytest.mark.parametrize("text", DIRECT + LEFT_TO_LIQUID)
@pytest.mark.parametrize("a", [None, "A<", [], [{"x": 1}], {"x": "X"}, True, "line\r\nend"])
def test_each_form_prints_what_liquid_prints(text: str, a: Any) -> None:
    variables = {"a": a, "b": a, "profile": {"a": a, "b": a}, "items": [{"x": a}, {"x": "B"}, {}]}
    for sandbox in (ESCAPING, PLAIN):
        parsed = sandbox.from_string(text)
        assert (direct_renderer(parsed, otherwise=parsed.render) is not None) == (text in DIRECT)
        found = rendered(text, "email.liquid" if sandbox is ESCAPING else "sms.liquid", **variables)
        assert found["body"] == parsed.render(variables)


@given(st.text(max_size=100) | st.text(alphabet="-{}%| \n'\"abif:", max_size=60))
def test_any_text_is_a_template_or_a_problem(text: str) -> None:
    problems: list[Problem] = []
    file = read_template("templates/hello/email.liquid", text, problems)
    assert file is not None
    if not problems:
        with suppress(RenderProblem):
            renderer([file], {})("", {"profile": {}})
