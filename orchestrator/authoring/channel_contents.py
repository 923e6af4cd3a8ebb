"""What a message on a channel consists of, from the Avro schemas of `schemas/actions`: `email_content`, ….

Such a schema is a record of strings: one that must be there (`string`), or may be (`["null", "string"]`, default null).
A channel without one takes any parts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import fastavro.schema

from orchestrator.model.problems import EnvironmentProblem

FOLDER = "actions"
_RECORD_NAME = re.compile(r"([a-z][a-z0-9_]*)_content", re.ASCII)
_OPTIONAL = ["null", "string"]


@dataclass(frozen=True, slots=True)
class ChannelContent:
    """The parts that a message on the channel must have, and those that it may have."""

    channel: str
    required: frozenset[str]
    optional: frozenset[str]

    @property
    def parts(self) -> frozenset[str]:
        """All parts that the schema knows."""
        return self.required | self.optional


NOTHING_KNOWN: Mapping[str, ChannelContent] = MappingProxyType({})
"""Where no channel says what its messages consist of."""


def load_channel_contents(schemas: Path) -> dict[str, ChannelContent]:
    """Channel → its content, from the folder `actions` of the directory of schemas; empty if there is none.

    Raises: EnvironmentProblem if a schema cannot be used.
    """
    found: dict[str, ChannelContent] = {}
    for file in sorted((schemas / FOLDER).glob("*_content.avsc")):
        try:
            content = channel_content(json.loads(file.read_text("utf-8")))
        except (OSError, ValueError, fastavro.schema.SchemaParseException) as error:
            raise EnvironmentProblem(
                f"schema {file} is no channel's content: {error}", hint="see docs/operations/channels.md, A new channel"
            ) from error
        found[content.channel] = content
    return found


def is_content(record_name: str) -> bool:
    """Whether a schema of this name says what the messages of a channel consist of.

    >>> is_content("email_content"), is_content("email_opened")
    (True, False)
    """
    return _RECORD_NAME.fullmatch(record_name) is not None


def channel_content(schema: Mapping[str, Any]) -> ChannelContent:
    """The content that the record schema describes.

    Raises: ValueError if it is no record `<channel>_content` of strings.
    """
    fastavro.schema.parse_schema(dict(schema))
    match = _RECORD_NAME.fullmatch(str(schema.get("name")))
    if schema.get("type") != "record" or match is None:
        raise ValueError("it must be a record called <channel>_content")
    required, optional = set(), set()
    for field in schema["fields"]:
        if field["type"] == "string":
            required.add(field["name"])
        elif field["type"] == _OPTIONAL and field.get("default", "") is None:
            optional.add(field["name"])
        else:
            raise ValueError(f'field "{field["name"]}" must be a string, or null or a string with the default null')
    return ChannelContent(match[1], frozenset(required), frozenset(optional))
