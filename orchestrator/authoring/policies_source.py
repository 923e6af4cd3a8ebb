"""policies.yaml -> its draft: what holds for all journeys together."""

from __future__ import annotations

from collections.abc import Mapping

from orchestrator.authoring.drafts import CapDraft, QuietHoursDraft, RateDraft, Ref
from orchestrator.authoring.policy_drafts import HoldoutDraft, PoliciesDraft, PurposeDraft
from orchestrator.authoring.reading import (
    Problems,
    fields,
    read_duration,
    read_items,
    read_name,
    read_number,
    read_pairs,
    read_percent,
    read_ref,
    read_refs,
    read_text,
    read_word,
)
from orchestrator.authoring.wait_source import read_clock, read_zone
from orchestrator.authoring.yaml_source import MappingNode, Node, Scalar, problem_at
from orchestrator.model.policies import Basis

CAP_MAX = 1_000
RATE_MAX = 10_000_000
RATE_KEYS = ("channels", "max", "per", "late_after")
RATE_REQUIRED = ("channels", "max", "per")
CAP_KEYS = ("name", "channels", "max", "per", "purposes", "journeys")
CAP_REQUIRED = ("name", "channels", "max", "per")
POLICY_KEYS = (
    "caps",
    "default_zone",
    "quiet_hours",
    "rates",
    "purposes",
    "default_purpose",
    "global_holdout",
)
QUIET_KEYS = ("channels", "from", "to", "zone", "then", "late_after")
QUIET_REQUIRED = ("channels", "from", "to")
QUIET_WAYS = ("hold", "skip")
PURPOSE_KEYS = ("legal_basis", "consent")
HOLDOUT_KEYS = ("share", "salt", "except")
HOLDOUT_REQUIRED = ("share",)
TRANSACTIONAL = "transactional"


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
        purposes=tuple(
            purpose
            for name, node in read_pairs(found.get("purposes"), problems, what="purposes")
            if (purpose := _purpose(name, node, problems)) is not None
        ),
        default_purpose=read_ref(found.get("default_purpose"), problems, what="default_purpose"),
        global_holdout=_holdout(found.get("global_holdout"), problems),
    )


def _purpose(name: Ref, node: Node, problems: Problems) -> PurposeDraft | None:
    found = fields(node, PURPOSE_KEYS, problems, what=f'purpose "{name.name}"')
    if found is None:
        return None
    word = read_word(found.get("legal_basis"), (basis.value for basis in Basis), problems, what="the legal basis")
    basis = Basis(word) if word is not None else Basis.CONSENT
    consents = _consents(found.get("consent"), problems)
    if basis is Basis.CONTRACT and "consent" in found:
        message = f'messages of purpose "{name.name}" need no consent: their basis is a contract'
        problems.append(problem_at(found["consent"], "J170", message, hint="leave consent out, or give another basis"))
    return PurposeDraft(name, basis, consents)


def _consents(node: Node | None, problems: Problems) -> tuple[tuple[Ref | None, Ref], ...]:
    """(channel, consent key): one key for all channels (None), or keys by channel."""
    if not isinstance(node, MappingNode):
        key = read_name(node, problems, what="a consent")
        return () if key is None else ((None, key),)
    pairs = read_pairs(node, problems, what="consent")
    keys = [(channel, read_name(value, problems, what="a consent")) for channel, value in pairs]
    return tuple((channel, key) for channel, key in keys if key is not None)


def _holdout(node: Node | None, problems: Problems) -> HoldoutDraft | None:
    if node is None:
        return None
    found = fields(node, HOLDOUT_KEYS, problems, what="global_holdout", required=HOLDOUT_REQUIRED)
    if found is None:
        return None
    share = read_percent(found.get("share"), problems, what="the share")
    salt = read_text(found.get("salt"), problems, what="salt")
    excepted = read_refs(found.get("except"), problems, what="except")
    if excepted and TRANSACTIONAL not in {ref.name for ref in excepted}:
        message = "transactional messages are never held back by the global holdout"
        hint = f"say so: except: [{TRANSACTIONAL}, {', '.join(ref.name for ref in excepted)}]"
        problems.append(problem_at(found["except"], "J171", message, hint=hint))
    if share is None:
        return None
    return HoldoutDraft(share, salt or "", tuple(ref for ref in excepted if ref.name != TRANSACTIONAL))


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
    return QuietHoursDraft(channels, start, end, zone, then == "hold", late_after_ms, node)


def _channels(listed: Node | None, problems: Problems) -> tuple[Ref, ...] | None:
    """The channels that are listed; None for `all`."""
    if isinstance(listed, Scalar) and listed.value == "all":
        return None
    return read_refs(listed, problems, what="channels")


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
    found = fields(node, CAP_KEYS, problems, what="a cap", required=CAP_REQUIRED)
    if found is None:
        return None
    name = read_name(found.get("name"), problems, what="a cap")
    channels = _channels(found.get("channels"), problems)
    most = read_number(found.get("max"), problems, what="max", least=1, most=CAP_MAX)
    per_ms = read_duration(found.get("per"), problems, what="per")
    purposes = read_refs(found["purposes"], problems, what="purposes") if "purposes" in found else None
    journeys = read_refs(found["journeys"], problems, what="journeys") if "journeys" in found else None
    if name is None or most is None or per_ms is None or channels == ():
        return None
    return CapDraft(name, channels, most, per_ms, purposes, journeys)
