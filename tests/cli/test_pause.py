"""``orchestrator pause`` and ``resume`` without a broker: what is published, and what is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import pytest

from orchestrator.authoring.pause_source import with_status
from orchestrator.cli.main import run
from orchestrator.model.journey import Status
from orchestrator.runtime import definitions, places, publishing
from orchestrator.runtime.definitions import Definition
from orchestrator.runtime.in_force import Publications, compile_definition
from orchestrator.runtime.places import Place, Places
from orchestrator.runtime.settings import Settings
from tests.authoring.cases import FIXTURES, fixture_sources
from tests.authoring.test_pauses import compiled

SAID = ["--who", "anna", "--why", "wrong price"]


class Topic:
    """The definitions topic, in memory; somebody else may publish when it is looked at."""

    def __init__(self, *published: Definition) -> None:
        self.published: list[Definition] = []
        self.acts: list[tuple[str, list[str]]] = []
        self.others: dict[int, Definition] = {}
        self.looks = 0
        for one in published:
            self.apply(one)

    def publish(
        self,
        settings: Settings,
        definition: Definition,
        *,
        act: str,
        changes: Iterable[str] = (),
        seen: int | None = None,
    ) -> int:
        if seen is not None:
            publishing.require_unchanged(self.read(None, ""), seen)
        offset = len(self.published)
        self.published.append(replace(definition, offset=offset, environment=settings.environment))
        self.acts.append((act, list(changes)))
        return offset

    def apply(self, definition: Definition) -> None:
        self.publish(Settings(environment="shop"), definition, act="apply")

    def read(self, _brokers: object, _topic: str) -> list[Definition]:
        self.looks += 1
        if self.looks in self.others:
            self.apply(self.others.pop(self.looks))
        return list(self.published)


def in_force(*changes: tuple[str, str]) -> Definition:
    text = fixture_sources().files["cart.yaml"]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    schemas = {path.name: path.read_text() for path in (FIXTURES / "schemas").glob("*.avsc")}
    made = Definition("", fixture_sources({"cart.yaml": text}).files, schemas, who="ci", why="release")
    journeys = compile_definition(made)
    assert journeys is not None
    return replace(made, set_id=journeys.set_id)


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    made = Topic(in_force(("status: live", "status: live   # since March")))
    monkeypatch.setattr(definitions, "read_definitions", made.read)
    monkeypatch.setattr(publishing, "publish", made.publish)
    version = Publications(made.published).kept()[0][1].current["cart"].version
    inside = Places(3, Counter({Place("cart", version, "paused", "pause"): 3}))
    monkeypatch.setattr(places, "count_places", lambda *_, **__: inside)
    return made


def test_a_pause_publishes_what_is_in_force_with_one_word_changed(
    topic: Topic, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["pause", "cart", *SAID]) == 0
    before, after = topic.published
    assert after.sources == {
        **before.sources,
        "cart.yaml": before.sources["cart.yaml"].replace("status: live   # since", "status: paused   # since"),
    }
    assert (after.schemas, after.who, after.why) == (before.schemas, "anna", "wrong price")
    assert after.environment == "shop", "wherever the command is given"
    act, (change,) = topic.acts[-1]
    assert (act, change.partition(", version ")[0]) == ("pause", "journey cart changed (live -> paused)")
    assert after.set_id != before.set_id
    newest = Publications(topic.published).newest
    assert newest is not None
    assert newest.journeys.paused == {"cart"}
    out = capsys.readouterr().out
    assert out.startswith("~ journey cart (live -> paused), version ")
    assert out.endswith("journey cart is paused (number 1); workers take it up now\n")


def test_a_resume_counts_those_who_stood_still_and_publishes_the_journey_live_again(
    topic: Topic, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["pause", "cart", *SAID]) == 0
    capsys.readouterr()
    assert run(["resume", "cart", *SAID]) == 0
    assert topic.published[2].sources == topic.published[0].sources
    assert topic.published[2].set_id == topic.published[0].set_id
    assert "    3 passages stood still: all go on at once" in capsys.readouterr().out.splitlines()


def test_what_is_so_already_is_not_published(topic: Topic, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["resume", "cart", *SAID]) == 0
    assert capsys.readouterr().out == "journey cart is live already; nothing was published\n"
    assert len(topic.published) == 1


@pytest.mark.parametrize("status", ["shadow", "retired", "draft"])
def test_only_what_is_live_is_paused(status: str, topic: Topic, capsys: pytest.CaptureFixture[str]) -> None:
    topic.apply(in_force(("status: live", f"status: {status}")))
    assert run(["pause", "cart", *SAID]) == 1
    assert run(["resume", "cart", *SAID]) == 1
    assert f"journey cart is {status}: only what is live is paused" in capsys.readouterr().out
    assert len(topic.published) == 2


def test_a_journey_that_is_not_in_force_is_a_usage_error(topic: Topic, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["pause", "crat", *SAID]) == 2
    assert 'no journey "crat" is in force; did you mean "cart"?' in capsys.readouterr().err
    assert run(["pause", "cart", "--who", "anna"]) == 2
    topic.published.clear()
    assert run(["pause", "cart", *SAID]) == 3
    assert "no journeys are in force" in capsys.readouterr().err


def test_somebody_who_publishes_meanwhile_is_not_undone_in_silence(
    topic: Topic, capsys: pytest.CaptureFixture[str]
) -> None:
    topic.others[2] = in_force(("wait: 1 hour", "wait: 2 hours"))
    assert run(["pause", "cart", *SAID]) == 3
    assert "ci published other journeys meanwhile" in capsys.readouterr().err
    assert [one.why for one in topic.published] == ["release", "release"]
    assert run(["pause", "cart", *SAID]) == 0
    assert "wait: 2 hours" in topic.published[-1].sources["cart.yaml"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("status: live\n", "status: paused\n"),
        ('status:   "live"  # since: March, status: live\n', "status:   paused  # since: March, status: live\n"),
        ("status: 'live'\n", "status: paused\n"),
    ],
)
def test_only_the_status_changes_in_the_text(written: str, expected: str) -> None:
    text = fixture_sources().files["cart.yaml"].replace("title: Bring back", "title: Grüße, bring back")
    text = text.replace("status: live\n", written)
    sources = fixture_sources({"cart.yaml": text})
    draft = next(one for one in compiled(files=sources.files).drafts if one.name.name == "cart")
    assert with_status(draft, text, Status.PAUSED) == text.replace(written, expected)
