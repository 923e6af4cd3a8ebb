"""An installation on the secured broker, its users with the rights of their roles, and what they are told."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from orchestrator.cli.main import run
from orchestrator.resources import journeys_dir, schemas_dir
from orchestrator.runtime.grants import Right
from orchestrator.runtime.in_force import load_journeys
from orchestrator.runtime.roles import rights_of
from orchestrator.runtime.settings import Settings
from tests.runtime.secured.stack import Secured
from tests.runtime.worker_process import Installation

PREFIX = "shop."
WHO = ("--who", "olga", "--why", "test")


class Shop:
    """An installation on the secured broker. Topics, schemas and events come from its administrator."""

    def __init__(self, secured: Secured, directory: Path) -> None:
        self.secured = secured
        self.installation = Installation(secured.stack, PREFIX, directory)
        self.settings = self.installation.settings
        self.journeys = load_journeys(journeys_dir(), schemas_dir()).journeys

    def rights(self, role: str, settings: Settings | None = None) -> tuple[Right, ...]:
        journeys = self.journeys
        return rights_of(role, settings or self.settings, channels=journeys.destinations, emits=journeys.emits.values())

    def environment(self, user: str) -> dict[str, str]:
        """All that the user's commands are told."""
        settings = self.settings
        return {
            "BOOTSTRAP_SERVERS": self.secured.servers,
            "REGISTRY_URL": settings.registry_url,
            "APP_ID": settings.app_id,
            "TOPIC_PREFIX": settings.topic_prefix,
            "PARTITIONS": str(settings.partitions),
            "TIME": settings.time,
            "SECURITY_PROTOCOL": "sasl_ssl",
            "SASL_USERNAME": user,
            "SASL_PASSWORD_FILE": str(self.secured.password_file(user)),
            "SSL_CA_FILE": str(self.secured.ca_file),
        }

    def options(self, user: str) -> list[str]:
        """The same as options, for a process of its own."""
        names = self.environment(user).items()
        return [part for name, value in names for part in (f"--{name.lower().replace('_', '-')}", value)]


def become(shop: Shop, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("ORCHESTRATOR_")]:
        monkeypatch.delenv(name)
    for name, value in shop.environment(user).items():
        monkeypatch.setenv(f"ORCHESTRATOR_{name}", value)


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a command that cannot do its work says: one line of what is wrong and one of what to do."""
    capsys.readouterr()
    assert run(arguments) == 3
    said = capsys.readouterr()
    lines = said.err.strip().splitlines()
    assert len(lines) == 2, said.err
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("hint: ")
    assert "Traceback" not in said.err
    return said.err


def settings_of_environment() -> Settings:
    names = {field.name for field in dataclasses.fields(Settings)}
    found = {name.removeprefix("ORCHESTRATOR_").lower(): value for name, value in os.environ.items()}
    return Settings(**{name: value for name, value in found.items() if name in names and name != "partitions"})  # type: ignore[arg-type]
