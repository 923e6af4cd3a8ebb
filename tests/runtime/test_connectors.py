from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.connectors import ConnectWorker, read_connector, read_values


def template(folder: Path, **config: Any) -> Path:
    path = folder / "mine.json"
    path.write_text(json.dumps({"name": "${PREFIX:-}mine", "config": config}))
    return path


def test_places_are_filled_and_secrets_stay_names(tmp_path: Path) -> None:
    path = template(
        tmp_path,
        topics="${PREFIX:-}actions.mine",
        dead="${NAME}.dead-letters",
        tasks=2,
        password="${file:${SECRETS}/mail:password}",
    )
    connector = read_connector(path, {"PREFIX": "a.", "SECRETS": "/run"})
    assert connector.name == "a.mine"
    assert connector.config == {
        "name": "a.mine",
        "topics": "a.actions.mine",
        "dead": "a.mine.dead-letters",
        "tasks": "2",
        "password": "${file:/run/mail:password}",
    }


def test_another_name_is_known_to_the_template(tmp_path: Path) -> None:
    connector = read_connector(template(tmp_path, dead="${NAME}.dead-letters"), {}, name="other")
    assert (connector.name, connector.config["dead"]) == ("other", "other.dead-letters")


def test_every_place_without_a_value_is_named(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"mine.json needs PORT, URL"):
        read_connector(template(tmp_path, a="${URL}:${PORT}", b="${GIVEN} ${EMPTY}"), {"GIVEN": "x", "EMPTY": ""})


def test_a_secret_is_refused_where_everyone_could_read_it(tmp_path: Path) -> None:
    path = template(tmp_path, **{"http.headers": "Authorization: Bearer ${TOKEN}", "smtp.password": ""})
    with pytest.raises(EnvironmentProblem, match=r"http\.headers would stand in") as caught:
        read_connector(path, {"TOKEN": "abc"})
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "{", '{"name": "x"}', '{"name": "x", "config": []}'])
def test_what_is_no_connector_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(text)
    with pytest.raises(EnvironmentProblem, match="is not a connector"):
        read_connector(path, {})


def test_a_name_that_would_be_another_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="no name for a connector"):
        read_connector(template(tmp_path), {}, name="../x")


def test_values_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "values"
    path.write_text("# mail\nHOST = mail.example.test\n\nQUERY=a=b\n")
    assert read_values(path) == {"HOST": "mail.example.test", "QUERY": "a=b"}
    path.write_text("HOST mail")
    with pytest.raises(EnvironmentProblem, match="values:1 is not NAME=VALUE"):
        read_values(path)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "connect:8083", "http://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(EnvironmentProblem, match="not an http"):
        ConnectWorker(url)


def test_a_connect_that_is_not_there_is_an_environment_problem() -> None:
    with pytest.raises(EnvironmentProblem, match="does not answer"):
        ConnectWorker("http://127.0.0.1:1").states()
