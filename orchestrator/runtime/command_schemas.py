"""The Avro schema of the commands of each channel: the common envelope, with what a message on the channel says in it.

`schemas/actions/action_command.avsc` is the envelope, whose content is a map; `<channel>_content.avsc` gives the record
`<channel>_command`, whose content has that channel's fields. Commands whose content has others (those of a journey
version that is older than the schema, changes of audiences) are written with the plain envelope.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from orchestrator.authoring.channel_contents import ChannelContent, channel_content

COMMAND = "action_command"
_CONTENT = "content"


def is_command(record_name: str | None) -> bool:
    """Whether records of this name are commands.

    >>> is_command("action_command"), is_command("email_command"), is_command("order_placed")
    (True, True, False)
    """
    return record_name is not None and record_name.endswith("_command")


def command_name(channel: str) -> str:
    """The record's name of the channel's own commands."""
    return f"{channel}_command"


def command_schema(envelope: Mapping[str, Any], content: Mapping[str, Any]) -> tuple[ChannelContent, dict[str, Any]]:
    """What the channel's messages consist of, and the schema of its commands.

    Raises: ValueError if `content` is no channel's content.
    """
    shape = channel_content(content)
    fields = [{**field, "type": dict(content)} if field["name"] == _CONTENT else field for field in envelope["fields"]]
    return shape, {**envelope, "name": command_name(shape.channel), "fields": fields}


def contents_of(schemas: Mapping[str, str]) -> dict[str, ChannelContent]:
    """Channel → what its messages consist of, from schemas (record name → text) that `command_schema` has made."""
    found = {}
    for name, text in schemas.items():
        if is_command(name) and name != COMMAND:
            content = next(field["type"] for field in json.loads(text)["fields"] if field["name"] == _CONTENT)
            shape = channel_content(content)
            found[shape.channel] = shape
    return found
