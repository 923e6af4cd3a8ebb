"""The dashboards as Grafana's own types read them: every key is one that Grafana knows, every value of its type.

The types are those of Grafana 11.6, the newest that are published; nothing in the dashboards is newer.
"""

from __future__ import annotations

import copy
import json
import types
import typing
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.cog.runtime import panelcfg_config
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.deploy.exported import DASHBOARDS

register_default_plugins()
FILES = sorted(DASHBOARDS.glob("*.json"))


def unknown(document: Any, known: Any, place: str = "") -> Iterator[str]:
    """What Grafana's types did not take over."""
    if isinstance(document, dict) and isinstance(known, dict):
        for key, value in document.items():
            if key in known:
                yield from unknown(value, known[key], f"{place}.{key}")
            else:
                yield f"{place}.{key}"
    elif isinstance(document, list) and isinstance(known, list) and len(document) == len(known):
        for number, pair in enumerate(zip(document, known, strict=True)):
            yield from unknown(*pair, f"{place}[{number}]")
    elif document != known:
        yield place


def misfits(value: Any, hint: Any, place: str = "") -> Iterator[str]:
    """What is not of the type that it should be."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, typing.TypeVar) or value is None:
        return
    if origin in {typing.Union, types.UnionType}:
        found = [list(misfits(value, argument, place)) for argument in arguments if argument is not type(None)]
        yield from min(found, key=len)
    elif origin is list:
        for number, item in enumerate(value if isinstance(value, list) else [None]):
            yield from misfits(item, arguments[0], f"{place}[{number}]")
    elif origin is dict:
        for key, item in value.items() if isinstance(value, dict) else ():
            yield from misfits(item, arguments[1], f"{place}.{key}")
    elif origin is typing.Literal:
        yield from () if value in arguments else (place,)
    elif isinstance(hint, type) and issubclass(hint, Enum):
        yield from () if getattr(value, "value", value) in {member.value for member in hint} else (place,)
    elif isinstance(hint, type) and hint in {int, float, str, bool}:
        wanted = (int, float) if hint is float else hint
        yield from () if isinstance(value, wanted) and isinstance(value, bool) <= (hint is bool) else (place,)
    elif isinstance(hint, type) and hasattr(value, "to_json"):
        # What a panel's options are depends on its kind, so the value says more than the hint.
        for name, of in typing.get_type_hints(type(value)).items():
            yield from misfits(getattr(value, name, None), of, f"{place}.{name}")


def faults(document: Any) -> list[str]:
    dashboard = Dashboard.from_json(document)
    known = json.loads(JSONEncoder(sort_keys=True).encode(dashboard))
    kinds = [panel["type"] for panel in document["panels"] if panelcfg_config(panel["type"]) is None]
    return [*unknown(document, known), *misfits(dashboard, Dashboard), *kinds]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_grafana_knows_every_key_of_a_dashboard_and_every_value_is_of_its_type(path: Path) -> None:
    assert faults(json.loads(path.read_text())) == []


MISTAKES: list[tuple[tuple[Any, ...], Any]] = [
    (("titel",), "x"),
    (("panels", 0, "targets", 0, "legndFormat"), "x"),
    (("panels", 0, "gridPos", "w"), "12"),
    (("panels", 0, "type"), "timeserie"),
    (("panels", 0, "fieldConfig", "defaults", "custom", "fillOpacty"), 3),
    (("panels", 0, "fieldConfig", "defaults", "custom", "showPoints"), "nevr"),
    (("templating", "list", 1, "refresh"), 7),
    (("refresh",), 30),
]


@pytest.mark.parametrize(("place", "value"), MISTAKES, ids=str)
def test_a_mistake_in_a_dashboard_is_noticed(place: tuple[Any, ...], value: Any) -> None:
    document = copy.deepcopy(json.loads((DASHBOARDS / "journeys.json").read_text()))
    at = document
    for part in place[:-1]:
        at = at[part]
    at[place[-1]] = value
    assert len(faults(document)) >= 1
