"""The Avro schemas of this installation and their registry: register, compare, refuse, look up.

The registry speaks the Confluent REST API. A topic carries several types, so a subject is a record's full name.
"""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import avro.errors
import avro.schema
import fastavro.schema
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

from orchestrator.authoring.channel_contents import is_content
from orchestrator.model.problems import EnvironmentProblem
from orchestrator.runtime.command_schemas import COMMAND, command_name, command_schema
from orchestrator.runtime.web import REACHED_BY, WebService, connection_problem, is_about_certificates, web_service

TIMEOUT_S = 10.0
ATTEMPTS = 4
"""With pauses of 0.2, 0.4 and 0.8 s: enough for a registry that restarts behind a proxy, short enough to wait for."""

_CONTENT_TYPE = "application/vnd.schemaregistry.v1+json"
_BACKWARD = frozenset({"BACKWARD", "BACKWARD_TRANSITIVE", "FULL", "FULL_TRANSITIVE"})
_NOT_FOUND = 404
_CONFLICT = frozenset({409, 422})


@dataclass(frozen=True, slots=True)
class SchemaFile:
    """One schema as it stands in a file: `name` is the record's name, `subject` its full name."""

    name: str
    subject: str
    path: str
    text: str


def is_same_schema(one: str, other: str) -> bool:
    """Whether two Avro schemas, as JSON, write the same bytes: documentation and the like apart."""
    return fastavro.schema.to_parsing_canonical_form(json.loads(one)) == fastavro.schema.to_parsing_canonical_form(
        json.loads(other)
    )


def read_schema_files(directory: Path) -> tuple[SchemaFile, ...]:
    """The schemas below a directory, in the order of their paths.

    Raises: EnvironmentProblem if there are none, or one is not an Avro record schema.
    """
    files = []
    for path in sorted(directory.rglob("*.avsc")):
        shown = path.relative_to(directory).as_posix()
        try:
            text = path.read_text("utf-8")
            parsed = avro.schema.parse(text)
        except (OSError, ValueError, avro.errors.AvroException) as error:
            raise EnvironmentProblem(f"schema {shown} cannot be read: {error}", hint="correct the file") from error
        if not isinstance(parsed, avro.schema.RecordSchema):
            raise EnvironmentProblem(f"schema {shown} is not a record", hint="an event or record schema is a record")
        files.append(SchemaFile(parsed.name, parsed.fullname, shown, text))
    files = with_commands(files)
    if not files:
        raise EnvironmentProblem(f"no *.avsc files below {directory}", hint="set --schemas to the directory of schemas")
    names = [file.name for file in files]
    for file in files:
        if names.count(file.name) > 1:
            raise EnvironmentProblem(
                f"two schemas are named {file.name}", hint="the record's name is the event type, so it must be unique"
            )
    return tuple(files)


def with_commands(files: Sequence[SchemaFile]) -> list[SchemaFile]:
    """The schemas, with the whole command of a channel in the place of what its messages consist of.

    Raises: EnvironmentProblem if one of these is not as it has to be.
    """
    envelope = next((json.loads(file.text) for file in files if file.name == COMMAND), None)
    made = []
    for file in files:
        if envelope is None or not is_content(file.name):
            made.append(file)
            continue
        try:
            shape, schema = command_schema(envelope, json.loads(file.text))
        except ValueError as error:
            raise EnvironmentProblem(
                f"schema {file.path} is no channel's content: {error}", hint="see docs/operations/channels.md"
            ) from error
        name = command_name(shape.channel)
        made.append(SchemaFile(name, f"{envelope['namespace']}.{name}", file.path, json.dumps(schema)))
    return made


def incompatibilities(reader: str, writer: str) -> list[str]:
    """Why `reader` cannot read what was written with `writer`, one sentence for each field; empty if it can."""
    return _record_changes(avro.schema.parse(reader), avro.schema.parse(writer), "")


def _record_changes(new: Any, old: Any, within: str) -> list[str]:
    """The library says whether two types are compatible; walking the fields says which one is to blame."""
    if new.fullname != old.fullname:
        return [f"{_shown(within)} was named {old.fullname} and is now named {new.fullname}"]
    before = {field.name: field.type for field in old.fields}
    changes = []
    for field in new.fields:
        name = f"{within}.{field.name}" if within else field.name
        # A renamed field reads the old one if it lists it as an alias.
        known = next((alias for alias in (field.name, *(field.get_prop("aliases") or ())) if alias in before), None)
        if known is not None:
            changes += _type_changes(field.type, before[known], name)
        elif not field.has_default:
            changes.append(f'field "{name}" was added without a default, so records written before cannot be read')
    return changes


def _type_changes(new: Any, old: Any, name: str) -> list[str]:
    if new.type == old.type == "record":
        return _record_changes(new, old, name)
    if new.type == old.type == "array":
        return _type_changes(new.items, old.items, name)
    if new.type == old.type == "map":
        return _type_changes(new.values, old.values, name)
    if new.type == old.type == "enum" and new.fullname == old.fullname:
        lost = [symbol for symbol in old.symbols if symbol not in new.symbols]
        return [f'field "{name}" lost {", ".join(lost)}'] if lost and not new.props.get("default") else []
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    if checker.get_compatibility(new, old).compatibility is not SchemaCompatibilityType.compatible:
        return [f'field "{name}" changed its type from {_type_name(old)} to {_type_name(new)}']
    # The specification leaves decimals of another scale undefined; read as they stand they are other amounts.
    if getattr(new, "scale", None) != getattr(old, "scale", None):
        return [f'field "{name}" changed from {_type_name(old)} to {_type_name(new)}']
    return []


def _type_name(schema: Any) -> str:
    if schema.type == "union":
        return " or ".join(_type_name(member) for member in schema.schemas)
    if schema.type in {"record", "enum", "fixed"}:
        return f"{schema.type} {schema.fullname}"
    if getattr(schema, "scale", None) is not None:
        return f"decimal({schema.precision}, {schema.scale})"
    return str(schema.props.get("logicalType") or schema.type)


def _shown(name: str) -> str:
    return f'the record in field "{name}"' if name else "the record"


class Registry:
    """A schema registry behind the Confluent REST API.

    Every call raises EnvironmentProblem if the registry cannot be reached or answers with an error of its own.
    """

    __slots__ = ("_attempts", "_headers", "_opener", "_service")

    def __init__(self, service: WebService | str, *, attempts: int = ATTEMPTS) -> None:
        """An address is enough where nobody needs to sign in and the machine's authorities are those to trust."""
        if isinstance(service, str):
            service = web_service(service, what="the schema registry", option="--registry-url")
        self._service = service
        self._opener = service.opener()
        self._attempts = attempts
        self._headers = {"Accept": _CONTENT_TYPE, "Content-Type": _CONTENT_TYPE, **service.headers}

    def schema_text(self, schema_id: int) -> str | None:
        """The schema with this id, or None if the registry knows none."""
        status, body = self._call("GET", f"/schemas/ids/{schema_id}")
        return None if status == _NOT_FOUND else str(self._body(status, body)["schema"])

    def latest(self, subject: str) -> tuple[int, str] | None:
        """(id, text) of the subject's newest schema, or None if the subject is new."""
        status, body = self._call("GET", f"/subjects/{_quoted(subject)}/versions/latest")
        if status == _NOT_FOUND:
            return None
        found = self._body(status, body)
        return int(found["id"]), str(found["schema"])

    def register(self, subject: str, text: str) -> int | None:
        """The id under which the schema is registered (as before, if it is there); None if it is incompatible."""
        status, body = self._call("POST", f"/subjects/{_quoted(subject)}/versions", {"schema": text})
        return None if status in _CONFLICT else int(self._body(status, body)["id"])

    def ensure_backward(self, subject: str) -> None:
        """New versions of the subject are refused unless they read what was written before."""
        status, body = self._call("GET", "/config")
        if status == http.client.OK and _level(body) in _BACKWARD:
            return
        status, body = self._call("GET", f"/config/{_quoted(subject)}")
        if status == http.client.OK and _level(body) in _BACKWARD:
            return
        status, body = self._call("PUT", f"/config/{_quoted(subject)}", {"compatibility": "BACKWARD"})
        self._body(status, body)

    def _body(self, status: int, body: Mapping[str, Any]) -> Mapping[str, Any]:
        if status == http.client.OK:
            return body
        raise EnvironmentProblem(
            f"the schema registry at {self._service.base} refused: {status} {body.get('message', '')}".rstrip(),
            hint="check --registry-url, and --registry-username with its password and rights",
        )

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Mapping[str, Any]]:
        payload = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._service.base + path, payload, self._headers, method=method)  # noqa: S310
        problem = ("", "")
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(0.1 * 2**attempt)
            try:
                # The scheme was checked to be http(s) when the registry was made.
                with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                    return answer.status, _parsed(answer.read())
            except urllib.error.HTTPError as error:
                # A registry that cannot do it now (5xx, too many requests) may do it soon.
                if error.code < http.client.INTERNAL_SERVER_ERROR and error.code != http.client.TOO_MANY_REQUESTS:
                    return error.code, _parsed(error.read())
                problem = self._problem(f"{error.code} {error.reason}")
            except REACHED_BY as error:
                problem = self._problem(error)
                if is_about_certificates(error):
                    break
        raise EnvironmentProblem(problem[0], hint=problem[1])

    def _problem(self, error: Exception | str) -> tuple[str, str]:
        hint = "start one with `orchestrator up`, or set --registry-url"
        return connection_problem("the schema registry", self._service, error, hint=hint)


def register_schemas(registry: Registry, files: Sequence[SchemaFile]) -> dict[str, int]:
    """Record name → schema id, everything registered; registering again changes nothing.

    All subjects are compared before the first is registered, so a refusal leaves the registry as it was.
    Raises: EnvironmentProblem naming the fields of an incompatible change.
    """
    ids: dict[str, int] = {}
    changed: list[SchemaFile] = []
    problems: list[str] = []
    for file in files:
        latest = registry.latest(file.subject)
        if latest is not None and _same(latest[1], file.text):
            ids[file.name] = latest[0]
            continue
        changed.append(file)
        if latest is not None:
            problems += [f"{file.path}: {reason}" for reason in incompatibilities(file.text, latest[1])]
    if problems:
        raise _refused(problems)
    for file in changed:
        schema_id = registry.register(file.subject, file.text)
        if schema_id is None:
            raise _refused([f"{file.path}: the registry refuses it as incompatible with an earlier version"])
        registry.ensure_backward(file.subject)
        ids[file.name] = schema_id
    return ids


def check_schemas(registry: Registry, files: Sequence[SchemaFile]) -> tuple[list[str], list[str]]:
    """(paths of schemas that are not registered as they are, sentences about incompatible ones); changes nothing."""
    changed: list[str] = []
    refused: list[str] = []
    for file in files:
        latest = registry.latest(file.subject)
        if latest is None or not _same(latest[1], file.text):
            changed.append(file.path)
        if latest is not None:
            refused += [f"{file.path}: {reason}" for reason in incompatibilities(file.text, latest[1])]
    return changed, refused


def _refused(problems: Sequence[str]) -> EnvironmentProblem:
    return EnvironmentProblem(
        "incompatible schema change: " + "; ".join(problems),
        hint="give an added field a default, keep types, or make a new event type",
    )


def _same(left: str, right: str) -> bool:
    """Whether nothing was changed, documentation included. Registries write names in their own way, which is no change:
    `"namespace"` is left out where the record around it has the same.
    """
    one, other = json.loads(left), json.loads(right)
    return bool(one == other or _with_full_names(one) == _with_full_names(other))


def _with_full_names(schema: Any) -> Any:
    try:
        return fastavro.parse_schema(schema)
    except (fastavro.schema.SchemaParseException, fastavro.schema.UnknownType, ValueError, KeyError, TypeError):
        # Not one that fastavro knows: compared as it stands.
        return schema


def _level(body: Mapping[str, Any]) -> str:
    return str(body.get("compatibilityLevel") or body.get("compatibility") or "")


def _quoted(subject: str) -> str:
    return urllib.parse.quote(subject, safe="")


def _parsed(body: bytes) -> Mapping[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError:
        # A proxy in between answers in HTML; the status says enough.
        return {"message": re.sub(r"\s+", " ", body[:100].decode("utf-8", "replace"))}
    return parsed if isinstance(parsed, dict) else {"message": str(parsed)[:100]}
