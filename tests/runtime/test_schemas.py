from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from orchestrator.cli.schemas import command
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.resources import schemas_dir
from orchestrator.runtime import schemas
from orchestrator.runtime.schemas import (
    Registry,
    check_schemas,
    incompatibilities,
    read_schema_files,
    register_schemas,
)
from orchestrator.stack.stack import Stack


def record(*fields: dict[str, Any], name: str = "cart_updated") -> str:
    return json.dumps({"type": "record", "name": name, "namespace": "test", "fields": list(fields)})


def field(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


ITEM = {"type": "record", "name": "item", "fields": [field("quantity", "int")]}
DECIMAL = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        (record(field("a", "string")), record(field("a", "string")), []),
        (record(field("a", "string"), field("b", ["null", "int"], default=None)), record(field("a", "string")), []),
        (record(field("a", "string")), record(field("a", "string"), field("b", "int")), []),
        (record(field("a", "long")), record(field("a", "int")), []),
        (
            record(field("a", "string"), field("b", "int")),
            record(field("a", "string")),
            ['field "b" was added without a default, so records written before cannot be read'],
        ),
        (record(field("a", "int")), record(field("a", "string")), ['field "a" changed its type from string to int']),
        (
            record(field("a", "string")),
            record(field("a", ["null", "string"])),
            ['field "a" changed its type from null or string to string'],
        ),
        (
            record(field("items", {"type": "array", "items": {**ITEM, "fields": [field("quantity", "string")]}})),
            record(field("items", {"type": "array", "items": ITEM})),
            ['field "items.quantity" changed its type from int to string'],
        ),
        (
            record(field("a", {"type": "enum", "name": "e", "symbols": ["x"]})),
            record(field("a", {"type": "enum", "name": "e", "symbols": ["x", "y"]})),
            ['field "a" lost y'],
        ),
        (
            record(field("a", {**DECIMAL, "scale": 3})),
            record(field("a", DECIMAL)),
            ['field "a" changed from decimal(12, 2) to decimal(12, 3)'],
        ),
        (
            record(field("a", "string"), name="cart_changed"),
            record(field("a", "string")),
            ["the record was named test.cart_updated and is now named test.cart_changed"],
        ),
        (record(field("b", "string", aliases=["a"])), record(field("a", "string")), []),
    ],
)
def test_incompatible_changes_name_the_field(new: str, old: str, expected: list[str]) -> None:
    assert incompatibilities(new, old) == expected


def test_the_shipped_schemas_can_be_read_and_have_unique_names() -> None:
    files = read_schema_files(schemas_dir())
    assert {"cart_updated", "action_command", "journey_transition", "journal_entry", "stream_heartbeat"} <= {
        file.name for file in files
    }


@pytest.mark.parametrize("content", ["", "{", '"string"', '{"type": "record", "name": "a", "fields": [{"name": "x"}]}'])
def test_a_file_that_is_no_record_schema_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "broken.avsc").write_text(content)
    with pytest.raises(EnvironmentProblem, match=r"broken\.avsc"):
        read_schema_files(tmp_path)


def test_a_directory_without_schemas_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"no \*\.avsc files"):
        read_schema_files(tmp_path)


def test_two_schemas_with_one_name_are_a_problem(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.avsc").write_text(record(field("a", "string")))
    with pytest.raises(EnvironmentProblem, match="two schemas are named cart_updated"):
        read_schema_files(tmp_path)


class FakeRegistry:
    """Answers with (status, body) pairs, the last one for ever; remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        self.asked: list[tuple[str, str | None]] = []
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                fake.asked.append((self.path, self.headers.get("Authorization")))
                status, body = fake.answers.pop(0) if len(fake.answers) > 1 else fake.answers[0]
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.place = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    fake = FakeRegistry()
    yield fake
    fake.server.shutdown()
    fake.server.server_close()


def test_an_unknown_schema_id_is_an_answer_not_an_error(fake: FakeRegistry) -> None:
    fake.answers = [(404, b'{"error_code": 40403, "message": "Schema not found"}')]
    assert Registry(f"http://{fake.place}").schema_text(7) is None
    assert fake.asked == [("/schemas/ids/7", None)]


def test_a_registry_that_is_busy_is_asked_again(fake: FakeRegistry) -> None:
    fake.answers = [(503, b""), (429, b""), (200, b'{"schema": "\\"string\\""}')]
    assert Registry(f"http://{fake.place}").schema_text(7) == '"string"'
    assert len(fake.asked) == 3


def test_a_registry_that_stays_broken_is_an_environment_problem(fake: FakeRegistry) -> None:
    fake.answers = [(500, b"")]
    with pytest.raises(EnvironmentProblem, match=f"schema registry at http://{fake.place} does not answer: 500"):
        Registry(f"http://{fake.place}", attempts=2).schema_text(7)


def test_a_refusal_is_shown_with_the_registrys_words_and_without_the_password(fake: FakeRegistry) -> None:
    fake.answers = [(401, b'{"message": "who are you"}')]
    with pytest.raises(EnvironmentProblem, match="401 who are you") as caught:
        Registry(f"http://anna:s3cret@{fake.place}").schema_text(7)
    assert "s3cret" not in str(caught.value)
    assert fake.asked[0][1] == "Basic YW5uYTpzM2NyZXQ="


def test_an_unreachable_registry_is_an_environment_problem_with_a_hint() -> None:
    with pytest.raises(EnvironmentProblem, match="does not answer") as caught:
        Registry("http://127.0.0.1:1", attempts=1).schema_text(7)
    assert "--registry-url" in caught.value.hint


def test_an_address_that_is_no_http_address_is_refused() -> None:
    with pytest.raises(EnvironmentProblem, match="not an http"):
        Registry("file:///etc/passwd")


def test_a_name_that_the_registry_writes_in_its_own_way_is_no_change_and_documentation_is_one(
    fake: FakeRegistry, tmp_path: Path
) -> None:
    inner = {"type": "record", "name": "part", "namespace": "test", "fields": [field("a", "string", pii=True)]}
    (tmp_path / "cart_updated.avsc").write_text(record(field("content", inner)))
    files = read_schema_files(tmp_path)
    del inner["namespace"]
    for document, changed in (({}, []), ({"doc": "new words"}, ["cart_updated.avsc"])):
        answer = json.dumps({"id": 7, "schema": record(field("content", inner, **document))})
        fake.answers = [(200, answer.encode())]
        assert check_schemas(Registry(f"http://{fake.place}"), files) == (changed, [])


def directory_with(path: Path, name: str, *fields: dict[str, Any]) -> Path:
    path.mkdir(exist_ok=True)
    (path / f"{name}.avsc").write_text(record(*fields, name=name))
    return path


def unique(topic_prefix: str) -> str:
    return topic_prefix.replace("-", "_").rstrip(".")


def test_registering_twice_gives_the_same_ids(stack: Stack, topic_prefix: str, tmp_path: Path) -> None:
    registry = Registry(stack.registry_url)
    files = read_schema_files(directory_with(tmp_path / "s", unique(topic_prefix), field("a", "string")))
    assert check_schemas(registry, files) == ([files[0].path], [])
    first = register_schemas(registry, files)
    assert register_schemas(registry, files) == first
    assert check_schemas(registry, files) == ([], [])
    assert registry.schema_text(first[unique(topic_prefix)]) is not None
    assert registry.schema_text(2**31 - 1) is None


def test_an_incompatible_change_is_refused_with_the_field_and_nothing_is_registered(
    stack: Stack, topic_prefix: str, tmp_path: Path
) -> None:
    registry, name = Registry(stack.registry_url), unique(topic_prefix)
    directory = directory_with(tmp_path / "s", name, field("total", "int"))
    register_schemas(registry, read_schema_files(directory))
    directory_with(directory, name, field("total", "string"))
    directory_with(directory, f"{name}_new", field("a", "string"))
    files = read_schema_files(directory)
    with pytest.raises(EnvironmentProblem, match=r'field "total" changed its type from int to string'):
        register_schemas(registry, files)
    assert registry.latest(f"test.{name}_new") is None
    assert check_schemas(registry, files)[1] == [f'{name}.avsc: field "total" changed its type from int to string']


def test_the_registry_itself_refuses_what_cannot_be_read_back(stack: Stack, topic_prefix: str, tmp_path: Path) -> None:
    registry, name = Registry(stack.registry_url), unique(topic_prefix)
    register_schemas(registry, read_schema_files(directory_with(tmp_path / "s", name, field("a", "int"))))
    assert registry.register(f"test.{name}", record(field("a", "string"), name=name)) is None


def test_the_command_registers_and_checks(stack: Stack, topic_prefix: str, tmp_path: Path) -> None:
    name = unique(topic_prefix)
    directory = directory_with(tmp_path / "s", name, field("total", "int"))
    arguments = ["--registry-url", stack.registry_url, "--schemas", str(directory)]

    def run(verb: str) -> tuple[int, str]:
        result = CliRunner().invoke(command, [verb, *arguments], standalone_mode=False)
        return result.return_value, result.output

    assert run("check") == (0, f"{name}.avsc: not registered as it is\n")
    code, output = run("register")
    assert (code, output.split()[1]) == (0, name)
    assert run("check") == (0, "1 schemas are registered as they are\n")
    directory_with(directory, name, field("total", "string"))
    code, output = run("check")
    assert (code, 'field "total" changed its type from int to string' in output) == (1, True)


def test_a_schema_is_registered_as_it_is_where_a_registry_leaves_out_what_is_said_twice() -> None:
    inner = {"type": "record", "name": "inner", "namespace": "shop", "fields": [{"name": "a", "type": "string"}]}
    outer = {"type": "record", "name": "outer", "namespace": "shop", "fields": [{"name": "b", "type": inner}]}
    shorter = json.loads(json.dumps(outer))
    del shorter["fields"][0]["type"]["namespace"]
    assert schemas._same(json.dumps(outer), json.dumps(shorter))
    elsewhere = json.dumps(outer).replace('"inner", "namespace": "shop"', '"inner", "namespace": "other"')
    assert not schemas._same(json.dumps(outer), elsewhere)
    assert not schemas._same(json.dumps(outer), json.dumps(shorter).replace('"name": "a"', '"name": "c"'))
