"""One journey paused and resumed by an operator while workers run, on the real broker."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from orchestrator.stack.stack import Stack
from tests.runtime.test_live_uptake import taken_up
from tests.runtime.worker_process import DAY_MS, START_MS, Installation, until

JOURNEY = "welcome_series"


@pytest.fixture
def installation(stack: Stack, topic_prefix: str, tmp_path: Path) -> Installation:
    return Installation(stack, topic_prefix, tmp_path)


def sent(installation: Installation) -> list[tuple[str, str]]:
    """(customer, step) of the journey's messages."""
    actions = installation.actions()
    return sorted((one["customer_id"], one["step"]) for one in actions if one["journey"] == JOURNEY)


def told(installation: Installation, kind: str) -> list[str]:
    """The customers of whose passages through the journey this was decided."""
    found = installation.transitions()
    return sorted(one["customer_id"] for one in found if (one["journey"], one["kind"]) == (JOURNEY, kind))


def test_a_paused_journey_keeps_everybody_and_everything_and_goes_on_when_it_is_resumed(
    installation: Installation,
) -> None:
    with installation.worker("a") as worker:
        worker.until_ready()
        installation.register("early", at_ms=START_MS)
        installation.register("buyer", at_ms=START_MS)
        installation.heartbeat(at_ms=START_MS + 1)
        welcomed = [("buyer", "welcome"), ("early", "welcome")]
        until(lambda: sent(installation) == welcomed, seconds=20, what="the first messages")
        said = ["--registry-url", installation.registry_url, "--who", "anna", "--why"]
        assert installation.command("resume", JOURNEY, *said, "x").stdout.startswith("journey welcome_series is live")
        assert installation.command("pause", "welcome", *said, "x").returncode == 2
        paused = installation.command("pause", JOURNEY, *said, "wrong price")
        assert paused.returncode == 0, paused.stdout + paused.stderr
        assert f"~ journey {JOURNEY} (live -> paused), version " in paused.stdout
        until(lambda: taken_up(worker)[-1:] == ["wrong price"], seconds=20, what="taken up")
        until(lambda: told(installation, "paused") == ["buyer", "early"], seconds=20, what="passages stand still")
        # While nobody goes on: somebody enters, somebody orders, and the second message falls due.
        installation.register("late", at_ms=START_MS + 1_000)
        order = {"order_id": "o1", "cart_id": None, "total": Decimal("30.00"), "currency": "EUR"}
        installation.send("order_placed", "buyer", at_ms=START_MS + 2_000, **order)
        installation.heartbeat(at_ms=START_MS + 2 * DAY_MS)
        until(lambda: "late" in told(installation, "entered"), seconds=20, what="somebody enters")
        asked = ("explain", "buyer", "--registry-url", installation.registry_url)
        until(lambda: "has kept 1 order_placed" in installation.command(*asked).stdout, seconds=20, what="kept")
        resumed = installation.command("resume", JOURNEY, *said, "right price")
        assert "    3 passages stood still: all go on at once" in resumed.stdout, resumed.stdout + resumed.stderr
        until(lambda: taken_up(worker)[-1:] == ["right price"], seconds=20, what="taken up")
        after = [("buyer", "how_it_works"), ("buyer", "loyalty"), ("early", "how_it_works"), ("late", "welcome")]
        until(lambda: len(sent(installation)) >= 6, seconds=20, what="those who stood still go on")
        installation.heartbeat(at_ms=START_MS + 4 * DAY_MS)
        until(lambda: ("late", "how_it_works") in sent(installation), seconds=20, what="the message after that")
        assert sent(installation)[:7] == sorted([*welcomed, *after, ("late", "how_it_works")])
        actions = [one for one in installation.actions() if one["journey"] == JOURNEY]
        at_resume = {one["created_at"] for one in actions if (one["customer_id"], one["step"]) in after}
        assert [round(at.timestamp() * 1000) for at in at_resume] == [START_MS + 2 * DAY_MS], "nothing before, all then"
        assert told(installation, "resumed") == ["buyer", "early", "late"]
        assert len({one["action_id"] for one in actions}) == len(actions)
        assert len({one["version"] for one in actions}) == 1, "pausing makes no new version"
        assert worker.stop() == 0
    replayed = installation.command("replay", "--registry-url", installation.registry_url)
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
