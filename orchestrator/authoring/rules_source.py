"""profile.yaml, channels.yaml, audiences.yaml, webhooks.yaml and policies.yaml -> drafts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.authoring.action_source import EXPIRES_MS_DEFAULT, MESSAGE_CLASSES
from orchestrator.authoring.drafts import (
    AudienceDraft,
    CapDraft,
    ChannelDraft,
    ConsentDraft,
    EndpointDraft,
    QuietHoursDraft,
    RateDraft,
    Ref,
    RuleDraft,
)
from orchestrator.authoring.reading import (
    Problems,
    fields,
    one_or_many,
    read_assignments,
    read_duration,
    read_formula,
    read_items,
    read_name,
    read_number,
    read_pairs,
    read_ref,
    read_word,
)
from orchestrator.authoring.wait_source import read_clock, read_zone
from orchestrator.authoring.yaml_source import Node, Scalar, problem_at

PROFILE_FILE = "profile.yaml"
CHANNELS_FILE = "channels.yaml"
AUDIENCES_FILE = "audiences.yaml"
POLICIES_FILE = "policies.yaml"
WEBHOOKS_FILE = "webhooks.yaml"
WEBHOOK_KEYS = ("endpoint", "method", "class", "expires")
WEBHOOK_REQUIRED = ("endpoint",)
METHODS = ("POST", "PUT", "PATCH", "DELETE")
AUDIENCE_KEYS = ("destination", "identity", "consent")
CAP_MAX = 1_000
RATE_MAX = 10_000_000
RATE_KEYS = ("channels", "max", "per", "late_after")
RATE_REQUIRED = ("channels", "max", "per")
POLICY_KEYS = ("caps", "default_zone", "quiet_hours", "rates")
QUIET_KEYS = ("channels", "from", "to", "zone", "then", "late_after")
QUIET_REQUIRED = ("channels", "from", "to")
QUIET_WAYS = ("hold", "skip")


def read_profile(root: Node, problems: Problems) -> tuple[RuleDraft, ...]:
    """The profile rules; appends what is wrong."""
    found = fields(root, ("profile",), problems, what="profile.yaml", required=("profile",))
    if found is None:
        return ()
    rules: list[RuleDraft] = []
    for node in read_items(found.get("profile"), problems, what="profile"):
        rule = _rule(node, problems)
        if rule is not None:
            rules.append(rule)
    return tuple(rules)


def _rule(node: Node, problems: Problems) -> RuleDraft | None:
    found = fields(node, ("on", "set", "consent"), problems, what="a profile rule", required=("on",))
    if found is None:
        return None
    on = read_ref(found.get("on"), problems, what="on")
    attributes = read_assignments(found.get("set"), problems, what="set")
    consents = tuple(
        consent
        for item in one_or_many(found.get("consent"), problems, what="consent")
        if (consent := _consent(item, problems)) is not None
    )
    if on is not None and not {"set", "consent"} & set(found):
        problems.append(problem_at(on.node, "J119", "this rule changes nothing", hint="add set: or consent:"))
    return None if on is None else RuleDraft(on, attributes, consents)


def _consent(node: Node, problems: Problems) -> ConsentDraft | None:
    found = fields(node, ("key", "granted"), problems, what="a consent", required=("key", "granted"))
    if found is None:
        return None
    key = read_formula(found.get("key"), problems, what="key")
    granted = read_formula(found.get("granted"), problems, what="granted")
    return None if key is None or granted is None else ConsentDraft(key, granted)


def read_channels(root: Node, problems: Problems) -> tuple[ChannelDraft, ...]:
    """The channels; appends what is wrong."""
    found = fields(root, ("channels",), problems, what="channels.yaml", required=("channels",))
    if found is None:
        return ()
    channels: list[ChannelDraft] = []
    for name, node in read_pairs(found.get("channels"), problems, what="channels"):
        values = fields(
            node, ("address", "consent"), problems, what=f'channel "{name.name}"', required=("address", "consent")
        )
        if values is None:
            continue
        address = read_ref(values.get("address"), problems, what="address")
        consent = read_name(values.get("consent"), problems, what="a consent")
        if address is not None and consent is not None:
            channels.append(ChannelDraft(name, address, consent))
    return tuple(channels)


def read_audiences(root: Node, problems: Problems) -> tuple[AudienceDraft, ...]:
    """The audiences; appends what is wrong."""
    found = fields(root, ("audiences",), problems, what="audiences.yaml", required=("audiences",))
    if found is None:
        return ()
    audiences: list[AudienceDraft] = []
    for name, node in read_pairs(found.get("audiences"), problems, what="audiences"):
        values = fields(node, AUDIENCE_KEYS, problems, what=f'audience "{name.name}"', required=AUDIENCE_KEYS)
        if values is None:
            continue
        destination = read_name(values.get("destination"), problems, what="a destination")
        identity = read_ref(values.get("identity"), problems, what="identity")
        consent = read_name(values.get("consent"), problems, what="a consent")
        if destination is not None and identity is not None and consent is not None:
            audiences.append(AudienceDraft(name, destination, identity, consent))
    return tuple(audiences)


def read_webhooks(root: Node, problems: Problems) -> tuple[EndpointDraft, ...]:
    """The webhooks; appends what is wrong."""
    found = fields(root, ("webhooks",), problems, what="webhooks.yaml", required=("webhooks",))
    if found is None:
        return ()
    webhooks: list[EndpointDraft] = []
    for name, node in read_pairs(found.get("webhooks"), problems, what="webhooks"):
        values = fields(node, WEBHOOK_KEYS, problems, what=f'webhook "{name.name}"', required=WEBHOOK_REQUIRED)
        if values is None:
            continue
        endpoint = _endpoint(values.get("endpoint"), problems)
        method = read_word(values.get("method"), METHODS, problems, what="the method")
        message_class = read_word(values.get("class"), MESSAGE_CLASSES, problems, what="the class")
        expires_ms = read_duration(values.get("expires"), problems, what="expires")
        if endpoint is not None:
            webhooks.append(
                EndpointDraft(
                    name,
                    endpoint,
                    method or METHODS[0],
                    message_class or MESSAGE_CLASSES[1],
                    expires_ms or EXPIRES_MS_DEFAULT,
                )
            )
    return tuple(webhooks)


def _endpoint(node: Node | None, problems: Problems) -> Ref | None:
    ref = read_ref(node, problems, what="endpoint")
    if ref is not None and any(character in ref.name for character in ":/?@"):
        hint = "write a name, such as crm: addresses and secrets are the sink's, never a journey's"
        problems.append(
            problem_at(ref.node, "J141", "an endpoint is a name that the sink knows, no address", hint=hint)
        )
        return None
    return read_name(node, problems, what="an endpoint")


@dataclass(frozen=True, slots=True)
class PoliciesDraft:
    """What holds for all journeys together."""

    caps: tuple[CapDraft, ...] = ()
    default_zone: str | None = None
    quiet_hours: tuple[QuietHoursDraft, ...] = ()
    rates: tuple[RateDraft, ...] = ()


def read_policies(root: Node, problems: Problems) -> PoliciesDraft:
    """The rules for all journeys; appends what is wrong."""
    found = fields(root, POLICY_KEYS, problems, what="policies.yaml")
    if found is None:
        return PoliciesDraft()
    return PoliciesDraft(
        caps=_caps(found, problems),
        default_zone=read_zone(found.get("default_zone"), problems, allows_customer=False),
        quiet_hours=tuple(
            quiet
            for node in read_items(found.get("quiet_hours"), problems, what="quiet_hours")
            if (quiet := _quiet_hours(node, problems)) is not None
        ),
        rates=_rates(found, problems),
    )


def _rates(found: Mapping[str, Node], problems: Problems) -> tuple[RateDraft, ...]:
    rates: list[RateDraft] = []
    for node in read_items(found.get("rates"), problems, what="rates"):
        rate = _rate(node, problems)
        if rate is None:
            continue
        if rate.name in {earlier.name for earlier in rates}:
            message = "two rates for the same channels and the same time"
            problems.append(problem_at(node, "J709", message, hint="keep the lower one"))
            continue
        rates.append(rate)
    return tuple(rates)


def _rate(node: Node, problems: Problems) -> RateDraft | None:
    found = fields(node, RATE_KEYS, problems, what="a rate", required=RATE_REQUIRED)
    if found is None:
        return None
    channels = _channels(found.get("channels"), problems)
    most = read_number(found.get("max"), problems, what="max", least=1, most=RATE_MAX)
    per_ms = read_duration(found.get("per"), problems, what="per")
    late_after_ms = read_duration(found.get("late_after"), problems, what="late_after")
    if most is None or per_ms is None or channels == ():
        return None
    return RateDraft(node, channels, most, per_ms, late_after_ms)


def _quiet_hours(node: Node, problems: Problems) -> QuietHoursDraft | None:
    found = fields(node, QUIET_KEYS, problems, what="quiet hours", required=QUIET_REQUIRED)
    if found is None:
        return None
    channels = _channels(found.get("channels"), problems)
    start, end = read_clock(found.get("from"), problems), read_clock(found.get("to"), problems)
    zone = read_zone(found.get("zone"), problems)
    then = read_word(found.get("then"), QUIET_WAYS, problems, what="then") or QUIET_WAYS[0]
    late_after_ms = read_duration(found.get("late_after"), problems, what="late_after")
    if start is None or end is None or channels == ():
        return None
    if start == end:
        message = "quiet hours that end when they begin"
        problems.append(problem_at(found["to"], "J707", message, hint="give another time of day"))
    if then == "skip" and "late_after" in found:
        message = "late_after is for messages that are held"
        problems.append(problem_at(found["late_after"], "J708", message, hint="leave it out, or write then: hold"))
    return QuietHoursDraft(channels, start, end, zone, then == "hold", late_after_ms)


def _channels(listed: Node | None, problems: Problems) -> tuple[Ref, ...] | None:
    """The channels that are listed; None for `all`."""
    if isinstance(listed, Scalar) and listed.value == "all":
        return None
    refs = [read_ref(item, problems, what="a channel") for item in one_or_many(listed, problems, what="channels")]
    return tuple(ref for ref in refs if ref is not None)


def _caps(found: Mapping[str, Node], problems: Problems) -> tuple[CapDraft, ...]:
    caps: list[CapDraft] = []
    for node in read_items(found.get("caps"), problems, what="caps"):
        cap = _cap(node, problems)
        if cap is None:
            continue
        if cap.name.name in {earlier.name.name for earlier in caps}:
            problems.append(
                problem_at(
                    cap.name.node, "J706", f'two caps are called "{cap.name.name}"', hint="give each a name of its own"
                )
            )
            continue
        caps.append(cap)
    return tuple(caps)


def _cap(node: Node, problems: Problems) -> CapDraft | None:
    keys = ("name", "channels", "max", "per")
    found = fields(node, keys, problems, what="a cap", required=keys)
    if found is None:
        return None
    name = read_name(found.get("name"), problems, what="a cap")
    channels = _channels(found.get("channels"), problems)
    most = read_number(found.get("max"), problems, what="max", least=1, most=CAP_MAX)
    per_ms = read_duration(found.get("per"), problems, what="per")
    if name is None or most is None or per_ms is None or channels == ():
        return None
    return CapDraft(name, channels, most, per_ms)
