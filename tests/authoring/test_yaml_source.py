"""YAML is read as it is written, and every character knows its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.authoring.yaml_source import (
    ListNode,
    MappingNode,
    Node,
    Scalar,
    parse_yaml,
    problem_inside,
    source_index,
)
from orchestrator.model.problems import Problem


def parsed(text: str) -> Node:
    problems: list[Problem] = []
    node = parse_yaml("a.yaml", text, problems)
    assert problems == []
    assert node is not None
    return node


def value_at(text: str, key: str = "a") -> Scalar:
    root = parsed(text)
    assert isinstance(root, MappingNode)
    found = {name.value: node for name, node in root.entries}[key]
    assert isinstance(found, Scalar)
    return found


@pytest.mark.parametrize("word", ["on", "yes", "no", "1:30", "0x1f", "1e3", "2024-01-01", "null", "~", "true", ".5"])
def test_a_word_stays_the_word_that_was_written(word: str) -> None:
    assert value_at(f"a: {word}").value == word
    root = parsed(f"{word}: a")
    assert isinstance(root, MappingNode)
    assert root.entries[0][0].value == word


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("a: event.totl > 0", "event.totl"),
        ("a: 'event.x == ''b'' and event.totl > 0'", "event.totl"),
        ('a: "event.x == \\"b\\" and\\u0020event.totl > 0"', "event.totl"),
        ("a: |\n  event.x > 0\n  and event.totl > 0\n", "event.totl"),
        ("a: >-  # folded\n  event.x > 0\n\n  and event.totl > 0\n", "event.totl"),
        ("a: event.x > 0\n  and event.totl > 0\n", "event.totl"),
        ("grüße: ä\na: 'ß and event.totl > 0'", "event.totl"),
        ("a: '\n\n  event.x\n\n  > event.totl'", "event.totl"),
    ],
)
def test_a_mark_inside_a_value_stands_under_its_characters(text: str, marked: str) -> None:
    scalar = value_at(text)
    start = scalar.value.index(marked)
    problem = problem_inside(scalar, start, start + len(marked), "J000", "here")
    line = text.split("\n")[problem.line - 1]
    assert line[problem.column - 1 : problem.column - 1 + problem.length] == marked


def test_windows_line_ends_do_not_move_marks() -> None:
    scalar = value_at("b: 1\r\na: event.totl > 0\r\n")
    problem = problem_inside(scalar, 0, 10, "J000", "here")
    assert (problem.line, problem.column, problem.length) == (2, 4, 10)


@given(
    st.text(alphabet="ab '\"\\\n.:#-", max_size=30), st.sampled_from(["plain", "single", "double", "literal", "folded"])
)
def test_every_visible_character_of_a_value_is_found_in_the_file(value: str, style: str) -> None:
    written = {
        "plain": "a: " + value,
        "single": "a: '" + value.replace("'", "''") + "'",
        "double": 'a: "' + value.replace("\\", "\\\\").replace('"', '\\"') + '"',
        "literal": "a: |\n" + "\n".join("  " + line for line in value.split("\n")),
        "folded": "a: >\n" + "\n".join("  " + line for line in value.split("\n")),
    }[style]
    problems: list[Problem] = []
    root = parse_yaml("a.yaml", written, problems)
    if not isinstance(root, MappingNode) or not isinstance(root.entries[0][1], Scalar):
        return
    scalar = root.entries[0][1]
    for offset, character in enumerate(scalar.value):
        if not character.isspace():
            assert written[source_index(scalar, offset)] in {character, "\\"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: 1\na: 2", "J106"),
        ("a: &x 1\nb: *x", "J104"),
        ("a: &x [1]\nb: &y [*x, *x]\nc: [*y, *y]", "J104"),
        ("a: !!python/object/apply:os.system [x]", "J105"),
        ("a: 1\n---\nb: 2", "J111"),
        ("a:\n\t- 1", "J102"),
        ("a: [1", "J103"),
        ("a: 'x", "J103"),
        ("a: \x07", "J103"),
        ("? [a]\n: 1", "J108"),
        ("[" * 5000, "J112"),
        ("a: \ud800", "J101"),
    ],
)
def test_what_a_plain_load_would_swallow_is_a_problem(text: str, code: str) -> None:
    problems: list[Problem] = []
    parse_yaml("a.yaml", text, problems)
    assert [problem.code for problem in problems] == [code]


def test_lists_and_mappings_keep_their_order() -> None:
    root = parsed("b: [2, 1]\na: {}\n")
    assert isinstance(root, MappingNode)
    assert [key.value for key, _ in root.entries] == ["b", "a"]
    listed = root.entries[0][1]
    assert isinstance(listed, ListNode)
    assert [item.value for item in listed.items if isinstance(item, Scalar)] == ["2", "1"]


@given(st.text(max_size=200) | st.text(alphabet="ab:-[]{}&*!|>'\"%@`#,? \n\t\x00\ud800\u2028é", max_size=80))
def test_any_text_gives_nodes_or_problems(text: str) -> None:
    problems: list[Problem] = []
    root = parse_yaml("a.yaml", text, problems)
    for problem in problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.length >= 1
    assert root is None or not any(problem.code == "J103" for problem in problems)
