"""profile.yaml, channels.yaml, audiences.yaml and webhooks.yaml -> drafts."""

from __future__ import annotations

from orchestrator.authoring.action_source import EXPIRES_MS_DEFAULT, MESSAGE_CLASSES
from orchestrator.authoring.drafts import (
    AudienceDraft,
    ChannelDraft,
    ConsentDraft,
    EndpointDraft,
    ReachDraft,
    Ref,
    RuleDraft,
)
from orchestrator.authoring.reading import (
    Problems,
    fields,
    given_or_meant,
    one_or_many,
    read_assignments,
    read_duration,
    read_formula,
    read_items,
    read_name,
    read_pairs,
    read_ref,
    read_word,
)
from orchestrator.authoring.yaml_source import MappingNode, Node, problem_at

PROFILE_FILE = "profile.yaml"
CHANNELS_FILE = "channels.yaml"
AUDIENCES_FILE = "audiences.yaml"
POLICIES_FILE = "policies.yaml"
WEBHOOKS_FILE = "webhooks.yaml"
SEGMENTS_FILE = "segments.yaml"
EXPERIMENTS_FILE = "experiments.yaml"
GOVERNANCE_FILE = "governance.yaml"
RULE_FILES = (
    PROFILE_FILE,
    CHANNELS_FILE,
    SEGMENTS_FILE,
    AUDIENCES_FILE,
    WEBHOOKS_FILE,
    POLICIES_FILE,
    EXPERIMENTS_FILE,
    GOVERNANCE_FILE,
)
"""The files of a journeys folder that are no journeys."""
TOP_KEYS = {
    "profile": PROFILE_FILE,
    "channels": CHANNELS_FILE,
    "segments": SEGMENTS_FILE,
    "audiences": AUDIENCES_FILE,
    "webhooks": WEBHOOKS_FILE,
    "experiments": EXPERIMENTS_FILE,
    "caps": POLICIES_FILE,
    "default_zone": POLICIES_FILE,
    "quiet_hours": POLICIES_FILE,
    "rates": POLICIES_FILE,
    "purposes": POLICIES_FILE,
    "default_purpose": POLICIES_FILE,
    "global_holdout": POLICIES_FILE,
    "groups": GOVERNANCE_FILE,
    "require": GOVERNANCE_FILE,
    "environments": GOVERNANCE_FILE,
}
"""What stands at the top of a file of rules -> the file's name."""
WEBHOOK_KEYS = ("endpoint", "method", "class", "expires")
WEBHOOK_REQUIRED = ("endpoint",)
METHODS = ("POST", "PUT", "PATCH", "DELETE")
RULE_KEYS = ("on", "set", "nulls", "consent")
UNREACHABLE_ON, REACHABLE_ON = "unreachable_on", "reachable_on"
CHANNEL_KEYS = ("address", "consent", UNREACHABLE_ON, REACHABLE_ON)
CHANNEL_REQUIRED = ("address", "consent")
REACH_KEYS = ("on", "where", "address")
NULL_WAYS = ("keep", "clear")
AUDIENCE_KEYS = ("destination", "identity", "consent")


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
    found = fields(node, RULE_KEYS, problems, what="a profile rule", required=("on",))
    if found is None:
        return None
    on = read_ref(found.get("on"), problems, what="on")
    attributes = read_assignments(found.get("set"), problems, what="set")
    consents = tuple(
        consent
        for item in one_or_many(found.get("consent"), problems, what="consent")
        if (consent := _consent(item, problems)) is not None
    )
    given = given_or_meant(node, RULE_KEYS) if isinstance(node, MappingNode) else set()
    if on is not None and not {"set", "consent"} & given:
        problems.append(problem_at(on.node, "J119", "this rule changes nothing", hint="add set: or consent:"))
    nulls = read_word(found.get("nulls"), NULL_WAYS, problems, what="nulls")
    return None if on is None else RuleDraft(on, attributes, consents, nulls == "clear")


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
        what = f'channel "{name.name}"'
        values = fields(node, CHANNEL_KEYS, problems, what=what, required=CHANNEL_REQUIRED)
        if values is None:
            continue
        address = read_ref(values.get("address"), problems, what="address")
        consent = read_name(values.get("consent"), problems, what="a consent")
        if address is not None and consent is not None:
            reach = tuple(
                rule
                for key in (UNREACHABLE_ON, REACHABLE_ON)
                for item in one_or_many(values.get(key), problems, what=key)
                if (rule := _reach(item, problems, is_reachable=key == REACHABLE_ON)) is not None
            )
            channels.append(ChannelDraft(name, address, consent, reach))
    return tuple(channels)


def _reach(node: Node, problems: Problems, *, is_reachable: bool) -> ReachDraft | None:
    found = fields(node, REACH_KEYS, problems, what="a rule about an address", required=("on",))
    if found is None:
        return None
    on = read_ref(found.get("on"), problems, what="on")
    where = read_formula(found.get("where"), problems, what="where")
    address = read_formula(found.get("address"), problems, what="address")
    return None if on is None else ReachDraft(on, where, address, is_reachable)


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
