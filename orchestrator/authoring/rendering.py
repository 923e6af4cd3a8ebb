"""Checked templates -> the function that renders a message while a decision is made.

What most messages are made of is rendered without Liquid's machinery (`direct_rendering`); everything else by Liquid.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Any

from liquid import BoundTemplate

from orchestrator.authoring.direct_rendering import RenderPart, direct_renderer
from orchestrator.authoring.templates import BODY, Part, TemplateFile
from orchestrator.model.journey import Render, RenderProblem
from orchestrator.model.types import Kind, Type

DEFAULT_LANGUAGE = "default"
"""What an action names when the template file without a language was used."""

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def template_value(of: Type) -> Callable[[Any], Any] | None:
    """What turns a value of this type into what templates print, or None if it is printed as it is.

    Instants become datetimes in UTC and dates become dates, so that the filter `date` knows which is which.
    """
    if of.kind is Kind.INSTANT:
        return _moment
    return _date if of.kind is Kind.DATE else None


def _moment(value: Any) -> Any:
    return EPOCH + dt.timedelta(milliseconds=value) if isinstance(value, int) else None


def _date(value: Any) -> Any:
    return (EPOCH + dt.timedelta(days=value)).date() if isinstance(value, int) else None


def renderer(files: list[TemplateFile], attributes: Mapping[str, Type]) -> Render:
    """The function that renders one template on one channel, in the language that fits best."""
    compiled: dict[str, tuple[str, list[tuple[str, RenderPart]]]] = {}
    for file in files:
        parts = [(part.name, _guarded(part, attributes)) for part in file.parts]
        compiled[file.language] = (file.language or DEFAULT_LANGUAGE, parts)
    fallback = compiled.get("") or next(iter(compiled.values()))

    def render(language: str, variables: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        found = compiled.get(language) if language else None
        if found is None:
            tag = language.lower()
            found = compiled.get(tag) or compiled.get(tag.partition("-")[0]) or fallback
        used, parts = found
        return used, {name: part(variables) for name, part in parts}

    return render


def _guarded(part: Part, attributes: Mapping[str, Type]) -> RenderPart:
    """The part's renderer, failing with RenderProblem only."""
    name = part.name
    used = {variable.path[1] for variable in part.variables if variable.path[0] == "profile" and len(variable.path) > 1}
    converters = {
        attribute: convert
        for attribute in sorted(used)
        if attribute in attributes and (convert := template_value(attributes[attribute])) is not None
    }
    by_liquid = _by_liquid(part.template, converters)
    inner = by_liquid if converters else direct_renderer(part.template, otherwise=by_liquid) or by_liquid
    is_single_line = name != BODY

    def render(variables: Mapping[str, Any]) -> str:
        try:
            text = inner(variables)
        except Exception as error:  # noqa: BLE001 - filters raise anything; the message may hold customer data
            raise RenderProblem(f"{name}: {type(error).__name__}") from None
        if is_single_line and not text.isprintable():
            # A line break in a name must not become a header line of its own.
            return re.sub(r"\s+", " ", text).strip()
        return text

    return render


def _by_liquid(template: BoundTemplate, converters: Mapping[str, Callable[[Any], Any]]) -> RenderPart:
    if not converters:
        return template.render

    def render(variables: Mapping[str, Any]) -> str:
        profile = dict(variables.get("profile") or {})
        for attribute, convert in converters.items():
            profile[attribute] = convert(profile.get(attribute))
        return template.render(variables, profile=profile)

    return render
