"""Every alert has a run-book, and every command of ours in one can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from orchestrator.cli.main import COMMANDS, load
from tests.deploy.exported import ROOT, RUNBOOKS, alerts

HEADINGS = ["Meaning", "Impact", "First look", "Mitigation", "Escalation"]
TOOLS = {"orchestrator", "curl", "kubectl", *(f"kafka-{name}.sh" for name in ("consumer-groups", "console-consumer"))}
TOOLS |= {"kafka-topics.sh", "kafka-transactions.sh"}
BOOKS = sorted(RUNBOOKS.glob("*.md"))
ALERTS = alerts()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: str(alert["alert"]))
def test_an_alert_says_how_bad_it_is_what_it_is_and_where_its_run_book_is(alert: dict[str, dict[str, str]]) -> None:
    annotations = alert["annotations"]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert annotations.keys() == {"summary", "description", "runbook"}
    assert annotations["runbook"] == f"docs/operations/runbooks/{alert['alert']}.md"
    assert (ROOT / annotations["runbook"]).is_file()


def test_there_is_no_run_book_without_an_alert_and_the_entry_page_lists_them_all() -> None:
    names = {str(alert["alert"]) for alert in ALERTS}
    assert {book.stem for book in BOOKS} == names
    entry = (ROOT / "docs" / "operations" / "README.md").read_text()
    assert {name for name in names if f"runbooks/{name}.md" not in entry} == set()


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: str(book.stem))
def test_a_run_book_has_every_part_and_begins_with_commands(book: Path) -> None:
    text = book.read_text()
    assert text.startswith(f"# {book.stem}\n")
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == HEADINGS
    assert commands(text)
    for other in re.findall(r"see (Orchestrator\w+)", text, flags=re.IGNORECASE):
        assert (RUNBOOKS / f"{other}.md").is_file(), other


def commands(text: str) -> list[list[str]]:
    return [shlex.split(line) for line in re.findall(r"^\$ (.+)$", text, flags=re.MULTILINE)]


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: str(book.stem))
def test_every_command_of_a_run_book_exists_with_its_options(book: Path) -> None:
    for words in commands(book.read_text()):
        assert words[0] in TOOLS, words
        if words[0] == "orchestrator":
            assert problem_of(words[1:]) == "", words


def problem_of(words: list[str]) -> str:
    """Why click would refuse these words; "" if it would not."""
    if words[0] not in COMMANDS:
        return f"no command {words[0]}"
    command: click.Command = load(words[0])
    context = click.Context(command, info_name=words[0])
    rest = [re.sub(r"^N$", "4", word) for word in words[1:]]
    try:
        if isinstance(command, click.Group):
            name, child, rest = command.resolve_command(context, rest)
            assert child is not None, name
            command, context = child, click.Context(child, info_name=name, parent=context)
        command.parse_args(context, rest)
    except click.UsageError as error:
        return error.format_message()
    return ""


def test_options_that_are_named_in_the_text_exist() -> None:
    known = {flag for name in COMMANDS for flag in flags(load(name))}
    for book in BOOKS:
        for flag in re.findall(r"`(--[a-z-]+)", book.read_text()):
            assert flag in known, (book.stem, flag)


def flags(command: click.Command) -> set[str]:
    own = {flag for parameter in command.params for flag in parameter.opts}
    children = command.commands.values() if isinstance(command, click.Group) else ()
    return own.union(*(flags(child) for child in children))


def test_a_command_that_is_not_there_is_noticed() -> None:
    assert problem_of(["dance"])
    assert problem_of(["topics", "check", "--no-such-option"])
    assert problem_of(["topics", "check"]) == ""
