"""What a worker publishes at its start, without a broker: by the rules of the house, and on record once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.authoring.approvals import Refusal
from orchestrator.runtime import audit, publishing
from orchestrator.runtime.audit import AuditRecord, new_record
from orchestrator.runtime.definitions import Definition
from orchestrator.runtime.publishing import publish_by_worker
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.topics import is_shorter
from orchestrator.runtime.uptake import Disallowed
from tests.cli.test_pause import in_force

SETTINGS = Settings()


def test_a_worker_that_starts_again_and_again_is_refused_on_record_once(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[AuditRecord] = []

    def refuse(_: Settings, definition: Definition, __: object, *, act: str) -> None:
        more = {"act": act, "outcome": "refused", "set_id": definition.set_id}
        log.append(new_record(SETTINGS, about="journeys", who="worker", why="", **more))

    monkeypatch.setattr(publishing, "why_not", lambda *_, **__: [Refusal("cart", "it is not approved", "ask")])
    monkeypatch.setattr(publishing, "record_refusal", refuse)
    monkeypatch.setattr(publishing, "read_audit", lambda _: list(log))
    for set_id in ("one", "one", "other"):
        with pytest.raises(Disallowed, match="cart: it is not approved"):
            publish_by_worker(SETTINGS, replace(in_force(), set_id=set_id), [])
    assert [record.set_id for record in log] == ["one", "other"]


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        ("604800000", "-1", True),
        ("-1", "-1", False),
        ("-1", "86400000", False),
        ("86399999", "86400000", True),
        ("unset", "-1", False),
    ],
)
def test_a_retention_that_is_less_than_the_setting_is_told(found: str, wanted: str, *, expected: bool) -> None:
    assert is_shorter(found, wanted) is expected


def test_the_audit_log_is_never_made_by_writing_to_it() -> None:
    assert audit.OPTIONS["allow.auto.create.topics"] is False
