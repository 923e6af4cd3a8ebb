"""The audit log as people and programs see it, without a broker."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from orchestrator.cli.audit import audit_json, audit_text
from orchestrator.cli.main import run
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.resources import schemas_dir
from orchestrator.runtime.audit import AuditRecord, about_customer, audit_record, audit_schema, encode_audit
from orchestrator.runtime.settings import Settings
from orchestrator.runtime.tail import Decoder
from tests.cli.test_plan import CLEAN, FIXTURES, SCHEMAS

RECORD = AuditRecord(
    id="5f",
    at_ms=1_700_000_000_123,
    act="apply",
    outcome="refused",
    about="journeys",
    who="anna@shop.example",
    why="a second reminder",
    environment="production",
    release="1.2.3",
    set_id="0123456789abcdef",
    changes=["cart: version 12345678 is not approved"],
    detail={"b": "2", "a": "1"},
)


def decoded(value: bytes, text: str) -> AuditRecord | None:
    _, fields, _ = Decoder(lambda _: text).decode(value)
    return audit_record(fields)


def test_a_record_is_read_as_it_was_written() -> None:
    assert decoded(encode_audit(RECORD, 7), audit_schema().text) == RECORD


def test_a_record_of_a_release_that_wrote_less_is_read_with_what_is_empty() -> None:
    schema = json.loads(audit_schema().text)
    schema["fields"] = [field for field in schema["fields"] if field["name"] not in {"detail", "changes", "release"}]
    fewer = json.dumps(schema)
    values = json.loads(audit_json(RECORD))
    assert audit_record({name: values[name] for name in [field["name"] for field in schema["fields"]]}) is not None
    assert fewer != audit_schema().text
    assert audit_record({"at": "no time"}) is None
    assert audit_record(None) is None


def test_a_record_is_told_in_a_few_lines() -> None:
    assert audit_text(RECORD) == (
        "2023-11-14T22:13:20.123Z  apply journeys (refused) in production  by anna@shop.example: a second reminder\n"
        "    journey set 0123456789abcdef\n"
        "    cart: version 12345678 is not approved\n"
        "    a: 1\n"
        "    b: 2"
    )
    assert json.loads(audit_json(RECORD))["at"] == "2023-11-14T22:13:20.123Z"


def test_no_field_of_the_audit_log_is_for_personal_data_and_customers_are_named_by_a_keyed_digest(
    tmp_path: Path,
) -> None:
    assert not any(field.get("pii") for field in json.loads(audit_schema().text)["fields"])
    assert (schemas_dir() / "records" / "audit_record.avsc").exists()
    assert about_customer(Settings(), "anna") == "customer/-"
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("first key\n")
    other.write_text("second key\n")
    about = about_customer(Settings(audit_key_file=str(one)), "anna")
    assert "anna" not in about
    assert about == about_customer(Settings(audit_key_file=str(one)), "anna")
    assert len({about, about_customer(Settings(audit_key_file=str(other)), "anna")}) == 2
    with pytest.raises(EnvironmentProblem, match="the audit key cannot be read"):
        about_customer(Settings(audit_key_file=str(tmp_path / "none")), "anna")
    one.write_text("\n")
    with pytest.raises(EnvironmentProblem, match="empty"):
        about_customer(Settings(audit_key_file=str(one)), "anna")


@pytest.fixture
def governed(tmp_path: Path) -> str:
    journeys = Path(shutil.copytree(CLEAN, tmp_path / "journeys"))
    (journeys / "governance.yaml").write_text(
        "groups:\n  leads: [ben]\nenvironments:\n  production:\n    approvals:\n      - {for: live, by: leads}\n"
        "  staging: {}\n"
    )
    (journeys / "cart.yaml").write_text((journeys / "cart.yaml").read_text().replace("1 hour", "2 hours"))
    return str(journeys)


def test_a_plan_says_what_is_against_it(governed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan", governed, "--against", CLEAN, *SCHEMAS]) == 0
    out = capsys.readouterr().out
    assert "\nagainst bringing it into force in production:\n- cart: version " in out
    assert out.endswith("    ben: orchestrator approve cart --why ...\n")
    assert run(["plan", governed, "--against", CLEAN, "--format", "json", *SCHEMAS]) == 0
    (refusal,) = json.loads(capsys.readouterr().out)["refusals"]
    assert refusal["about"] == "cart"
    assert run(["plan", governed, "--against", CLEAN, "--environment", "staging", *SCHEMAS]) == 0
    assert "against" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["apply", CLEAN],
        ["apply", CLEAN, "--why", " "],
        ["apply", CLEAN, "--why", "x", "--who", ""],
        ["approve", "--why", "x"],
        ["approve", "carrt", "--why", "x", "--journeys", CLEAN, "--schemas", str(FIXTURES / "schemas")],
        ["erase", "anna", "--requested-by", "team"],
        ["versions", "--collect"],
        ["dead-letters", "replay", "--reason", "x", "--yes"],
    ],
)
def test_who_and_why_have_to_be_said(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert "Error" in capsys.readouterr().err
