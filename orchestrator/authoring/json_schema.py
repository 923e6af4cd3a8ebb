"""JSON Schemas of the files that authors write, so that editors complete keys, show what they mean and mark mistakes.

A schema says which keys and kinds of values there are, no more: names, types and times are what `orchestrator
validate` is for. Key lists, enumerations and units are the compiler's own; `tests/authoring/test_json_schema.py` holds
that every key that the compiler knows is here and no other.

Draft 7, because that is what the YAML language servers of editors know best.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from orchestrator.authoring.action_source import AUDIENCE_WAYS, MESSAGE_CLASSES, RESERVED_VARIABLES
from orchestrator.authoring.durations import MONTHS_OF, UNITS_MS
from orchestrator.authoring.entry_bounds import LIMIT_KEYS, LIMIT_MAX, LIMIT_REQUIRED, LIMIT_WAYS
from orchestrator.authoring.entry_source import EVERY_WORDS, SEGMENT_WAYS, TRIGGER_KEYS, TRIGGER_NEEDS, keys_of
from orchestrator.authoring.experiments import EXPERIMENT_KEYS, EXPERIMENT_REQUIRED
from orchestrator.authoring.governance_source import (
    APPROVABLE,
    APPROVAL_KEYS,
    APPROVAL_REQUIRED,
    APPROVALS_MAX,
    ENVIRONMENT_KEYS,
    GOVERNANCE_KEYS,
    REQUIRE_KEYS,
    STATUS_WORDS,
)
from orchestrator.authoring.journey_source import JOURNEY_KEYS, REQUIRED_KEYS
from orchestrator.authoring.migrate_source import ANY, MIGRATE_KEYS, MIGRATE_REQUIRED, PREFIX_PATTERN, TIMER_WAYS
from orchestrator.authoring.pause_source import RESUME_KEYS, RESUME_MAX, RESUME_WORDS
from orchestrator.authoring.policies_source import (
    CAP_KEYS,
    CAP_MAX,
    CAP_REQUIRED,
    HOLDOUT_KEYS,
    HOLDOUT_REQUIRED,
    POLICY_KEYS,
    PURPOSE_KEYS,
    QUIET_KEYS,
    QUIET_REQUIRED,
    QUIET_WAYS,
    RATE_KEYS,
    RATE_MAX,
    RATE_REQUIRED,
)
from orchestrator.authoring.reading import NAME_LENGTH_MAX
from orchestrator.authoring.rules_source import (
    AUDIENCE_KEYS,
    CHANNEL_KEYS,
    CHANNEL_REQUIRED,
    METHODS,
    NULL_WAYS,
    REACH_KEYS,
    REACHABLE_ON,
    UNREACHABLE_ON,
    WEBHOOK_KEYS,
    WEBHOOK_REQUIRED,
)
from orchestrator.authoring.scenario_files import CHANGE_OVER
from orchestrator.authoring.scenario_values import COMMANDS, EXPECTATIONS, TRANSITIONS, YES_OR_NO
from orchestrator.authoring.segment_source import SEGMENT_KEYS, SEGMENT_REQUIRED
from orchestrator.authoring.step_source import KEYS
from orchestrator.authoring.wait_source import UNTIL_KEYS
from orchestrator.authoring.wait_words import WEEKDAYS
from orchestrator.model.journey import Status
from orchestrator.model.policies import Basis

Schema = dict[str, Any]
Described = Mapping[str, tuple[Schema, str]]
"""Key -> (what its value can be, one line of documentation)."""

UNIT = f"(?:{'|'.join(UNITS_MS)})s?"
DURATION_PATTERN = rf"\s*[0-9]{{1,12}}\s+{UNIT}\s*"
CALENDAR_UNIT = f"(?:{'|'.join([*UNITS_MS, *MONTHS_OF])})s?"
CALENDAR_PATTERN = rf"\s*[0-9]{{1,12}}\s+{CALENDAR_UNIT}\s*"
AMOUNT = rf"[0-9]{{1,9}} {UNIT}"
AMOUNTS = f"{AMOUNT}(?: {AMOUNT}){{0,2}}"

ANYTHING: Schema = {}
SCALAR: Schema = {"type": ["string", "number", "boolean"]}
TEXT: Schema = SCALAR
NAME: Schema = {"type": "string", "pattern": rf"^[a-z][a-z0-9_]{{0,{NAME_LENGTH_MAX - 1}}}$"}
STEP_NAME: Schema = {"type": "string"}
EVENT: Schema = {"type": "string", "minLength": 1}
EXPRESSION: Schema = SCALAR
EXPRESSION_OR_NULL: Schema = {"type": ["string", "number", "boolean", "null"]}
DURATION: Schema = {"type": "string", "pattern": f"^{DURATION_PATTERN}$", "examples": ["1 hour", "7 days"]}
CALENDAR_DURATION: Schema = {
    "type": "string",
    "pattern": f"^{CALENDAR_PATTERN}$",
    "examples": ["1 hour", "7 days", "1 month"],
}
MOVED: Schema = {
    "type": "string",
    "pattern": rf"^\s*[-+]?{CALENDAR_PATTERN}$",
    "examples": ["-30 days", "1 month"],
}
CLOCK: Schema = {"type": "string", "pattern": r"^\s*[0-9]{1,2}:[0-9]{2}\s*$", "examples": ["09:00"]}
ZONE: Schema = {"type": "string", "examples": ["customer", "Europe/Berlin"]}
SCHEDULE: Schema = {"type": "string", "pattern": r"^\s*\S+(?:\s+\S+){4}\s*$", "examples": ["0 9 * * mon"]}
DAY: Schema = {
    "type": "string",
    "pattern": r"^\s*\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2})?(?:Z| [A-Za-z]\S*)?\s*$",
    "examples": ["2026-03-01", "2026-03-01 09:00 Europe/Berlin"],
}
DEFAULT_ZONE: Schema = {"type": "string", "examples": ["Europe/Berlin"]}
PERCENT: Schema = {"type": "string", "pattern": r"^\s*[0-9]{1,3}(?:\.[0-9]{1,9})?\s*%\s*$", "examples": ["5%"]}
REENTRY: Schema = {
    "type": "string",
    "pattern": rf"^\s*(?:never|always|after {CALENDAR_PATTERN})$",
    "examples": ["never", "always", "after 7 days"],
}
OFFSET: Schema = {"type": "string", "pattern": rf"^(?:start|\+{AMOUNTS})$", "examples": ["start", "+1 hour"]}
AGO: Schema = {"type": "string", "pattern": f"^{AMOUNTS}$", "examples": ["2 days"]}
BOOLEAN: Schema = {"type": "boolean"}


def words(listed: Iterable[str]) -> Schema:
    """One of these words."""
    return {"enum": list(listed)}


def whole(least: int, most: int | None = None) -> Schema:
    """A whole number within bounds."""
    bounds = {"minimum": least} if most is None else {"minimum": least, "maximum": most}
    return {"type": "integer", **bounds}


def items(item: Schema) -> Schema:
    """A list of these that is not empty."""
    return {"type": "array", "minItems": 1, "items": item}


def one_or_many(item: Schema) -> Schema:
    """One of these, or a list of them."""
    return {"anyOf": [item, items(item)]}


def keys(known: Described, *, required: Iterable[str] = (), about: str = "", **more: Any) -> Schema:
    """An object with these keys and no others."""
    described = {"description": about} if about else {}
    properties = {key: {**value, "description": doc} for key, (value, doc) in known.items()}
    return {
        **described,
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": list(required),
        **more,
    }


def pairs(value: Schema, *, name: Schema = NAME, least: int = 1) -> Schema:
    """An object whose keys are new names."""
    return {"type": "object", "minProperties": least, "propertyNames": name, "additionalProperties": value}


def picked(listed: Iterable[str], known: Described) -> Described:
    """What is known of the listed keys, in their order. Raises: KeyError for one that nothing is known of."""
    return {key: known[key] for key in listed}


WHERE = (EXPRESSION, "A condition on the event; without it every event of this type counts.")
NEXT = (STEP_NAME, "The step that follows; without it the next one in the file.")


def _limit() -> Schema:
    limit: Described = {
        "max": (whole(1, LIMIT_MAX), "How many entries at most."),
        "per": (DURATION, "In any window of this length; ever, without it."),
        "of": (words(LIMIT_WAYS), "Entries of one customer (default), or of all customers together."),
    }
    return keys(picked(LIMIT_KEYS, limit), required=LIMIT_REQUIRED)


ENTRY: Described = {
    "on": (EVENT, "The type of event that customers enter on."),
    "segment": (EVENT, "The segment whose members enter."),
    "when": (words(SEGMENT_WAYS), "Whether customers enter as they become members, or as they stop being members."),
    "schedule": (SCHEDULE, "Customers enter at these times: minute, hour, day of the month, month, weekday."),
    "date": (EXPRESSION, "The attribute of the profile whose date or instant lets customers in."),
    "offset": (MOVED, "How long after the date, or before it with a minus sign."),
    "at": (CLOCK, "The local time of day; midnight for a date without it."),
    "every": (words(EVERY_WORDS), "The date comes round each year."),
    "zone": (ZONE, "The time zone: customer (default) or a name such as Europe/Berlin."),
    "from": (DAY, "When the first customers may enter: a date or a local time, with or without a zone."),
    "until": (DAY, "From when on nobody enters any more."),
    "limit": (one_or_many(_limit()), "How many entries there are at most."),
    "backfill": ({"const": True}, "As the journey comes into force, those enter too who match already."),
    "command": ({"const": True}, "Customers enter only when a start step or a command event asks for it."),
    "where": (EXPRESSION, "A condition; without it everyone enters."),
    "key": (EXPRESSION, "One passage for each value of this; without it one for each customer."),
    "reentry": (REENTRY, "Whether a customer may enter again: never (default), always, or after a duration."),
}
EXIT_RULE: Described = {
    "on": (EVENT, "The type of event that ends the passage."),
    "where": WHERE,
    "when": (EXPRESSION, "A condition that ends the passage as soon as it holds."),
}
GOAL: Described = {
    "on": (EVENT, "The type of event that is the goal."),
    "where": WHERE,
    "within": (CALENDAR_DURATION, "How long after the entry the goal counts; without it 30 days."),
    "value": (EXPRESSION, "What reaching the goal is worth, such as event.total."),
}
MIGRATE: Described = {
    "from": (
        {"anyOf": [words([ANY]), one_or_many({**TEXT, "pattern": f"^{PREFIX_PATTERN}$"})]},
        "any, or the older versions that come along, as orchestrator plan shows them.",
    ),
    "steps": (pairs(STEP_NAME), "Which step follows in place of an older one; others keep their names."),
    "timers": (
        words(TIMER_WAYS),
        "keep: a wait of the same kind ends when it would have. restart: each step is arrived at anew.",
    ),
    "entry": (
        pairs(EXPRESSION),
        "Constants for fields of the entry event that older versions did not keep.",
    ),
}
AWAITED: Described = {
    "on": (EVENT, "The type of event that is waited for."),
    "where": WHERE,
    "go": (STEP_NAME, "The step that this event leads to; without it the next one in the file."),
}
CASE: Described = {
    "when": (EXPRESSION, "The condition of this case."),
    "go": (STEP_NAME, "The step that this case leads to."),
    "otherwise": (STEP_NAME, "The step if no case holds; stands alone and last."),
}
ASSIGNMENTS = pairs(EXPRESSION_OR_NULL)
VARIABLES = pairs(EXPRESSION_OR_NULL, name={**NAME, "not": {"enum": sorted(RESERVED_VARIABLES)}})

UNTIL: Described = {
    "until": (EXPRESSION, "A local time of day, such as 09:00, or a date or instant, such as profile.renewal_date."),
    "on": (one_or_many(words(WEEKDAYS)), "With a time of day: only on these weekdays."),
    "offset": (MOVED, "With a date or instant: how long after it, or before it with a minus sign."),
    "at": (CLOCK, "With a date or instant: the local time of day."),
    "zone": (ZONE, "The time zone: customer (default) or a name such as Europe/Berlin."),
    "missing": (STEP_NAME, "With a date or instant: the step if there is none."),
    "past": (STEP_NAME, "With a date or instant: the step if it is past, or now to go on at once."),
}
WAIT: Schema = {"anyOf": [CALENDAR_DURATION, keys(picked(UNTIL_KEYS, UNTIL), required=["until"])]}

AUDIENCE: Described = {
    "add": (one_or_many(EVENT), "The audiences that the customer is added to."),
    "remove": (one_or_many(EVENT), "The audiences that the customer is removed from."),
}

STEP: Described = {
    "wait": (WAIT, "Goes on after this time, or at a time of day, or at a date or instant."),
    "wait_for": (
        one_or_many(keys(AWAITED, required=["on"])),
        "Goes on with the first of these events that fits.",
    ),
    "wait_while": (EXPRESSION, "Goes on as soon as this condition does not hold."),
    "timeout": (CALENDAR_DURATION, "How long to wait at most; without it there is no limit."),
    "on_timeout": (STEP_NAME, "The step after the timeout; without it the next one in the file."),
    "branch": (
        items(keys(CASE, oneOf=[{"required": ["when", "go"]}, {"required": ["otherwise"], "maxProperties": 1}])),
        "Goes to the first case that holds.",
    ),
    "split": (pairs(PERCENT), "Goes on by chance, the same way for a customer at every visit; adds up to 100%."),
    "salt": (TEXT, "Splits with the same salt draw the same lot."),
    "experiment": (EVENT, "The customer meets this experiment of experiments.yaml, and goes on by arm."),
    "arms": (pairs(STEP_NAME), "Where each arm of the experiment goes on."),
    "send": (one_or_many(EVENT), "The channel; of several the first on which the customer can be reached."),
    "template": (EVENT, "The folder in templates/ with the text of the message."),
    "with": (VARIABLES, "Variables, as expressions."),
    "purpose": (EVENT, "What the message is for; policies.yaml names the purposes."),
    "class": (words(MESSAGE_CLASSES), "Promotional (default: caps hold) or transactional (they do not)."),
    "priority": (whole(0, 9), "From 0 to 9; 5 if nothing is said."),
    "expires": (
        DURATION,
        "What could not be done by then is not done: 1 day for a message, 30 days for tasks and audiences.",
    ),
    "set": (ASSIGNMENTS, "Sets attributes of the profile; null takes one away."),
    "increment": (pairs(EXPRESSION), "Adds to attributes of the profile; a missing one counts as 0."),
    "audience": (
        keys(picked(AUDIENCE_WAYS, AUDIENCE), minProperties=1, maxProperties=1),
        "Adds the customer to audiences, or removes the customer from them.",
    ),
    "task": (NAME, "Asks a person of this queue to do something."),
    "due": (DURATION, "When the person should have done it."),
    "webhook": (EVENT, "The webhook of webhooks.yaml that is called with the variables as JSON."),
    "emit": (EVENT, "Publishes an event of this type about the customer; `with` gives its fields."),
    "start": (EVENT, "Lets the customer into this journey, by its own entry rules."),
    "stop": (EVENT, "Ends the customer's passages through this journey."),
    "exit": (NAME, "Leaves the journey, for this reason."),
    "next": NEXT,
}
STEP_NEEDS: dict[str, tuple[str, ...]] = {
    "experiment": ("arms",),
    "send": ("template",),
    "task": ("template",),
}
"""Step kind -> keys that it cannot do without, beside its own."""


def _step() -> Schema:
    kinds = []
    for kind, known in KEYS.items():
        about = f"{kind}: {STEP[kind][1]}"
        more = {"dependencies": {"on_timeout": ["timeout"]}} if "on_timeout" in known else {}
        kinds.append(
            keys(picked(known, STEP), required=[kind, *STEP_NEEDS.get(kind, ())], about=about, title=kind, **more)
        )
    return {"oneOf": kinds}


def _resume() -> Schema:
    how: Described = {
        "over": (DURATION, "They go on one after the other, spread evenly over this time."),
        "max": (whole(1, RESUME_MAX), "At most so many of all customers go on in any window of `per`."),
        "per": (DURATION, "The length of the window."),
        "skip_older_than": (DURATION, "Those leave whose step was due longer ago, and older events are not applied."),
    }
    spread = keys(picked(RESUME_KEYS, how), minProperties=1, dependencies={"max": ["per"], "per": ["max"]})
    spread["not"] = {"required": ["over", "max"]}
    return {"anyOf": [words(RESUME_WORDS), spread]}


def _entry() -> Schema:
    return {
        "oneOf": [
            keys(picked(keys_of(kind), ENTRY), required=[kind, *TRIGGER_NEEDS.get(kind, ())], about=ENTRY[kind][1])
            for kind in TRIGGER_KEYS
        ]
    }


def journey() -> Schema:
    """Of `<journey>.yaml`."""
    exit_rule = keys(
        EXIT_RULE,
        oneOf=[{"required": ["on"]}, {"required": ["when"]}],
        dependencies={"where": ["on"]},
    )
    known: Described = {
        "journey": (NAME, "The name: small letters, digits, underscores; called like the file."),
        "title": (TEXT, "What the journey is for, in words."),
        "owner": (TEXT, "Who answers for it."),
        "approver": (one_or_many(TEXT), "Who approves of it: people, or groups of governance.yaml."),
        "status": (
            words(status.value for status in Status),
            "draft: only checked. shadow: sends nothing. live: all. paused: nobody goes on. retired: nobody enters.",
        ),
        "resume": (_resume(), "How those go on who stood still while the journey was paused."),
        "entry": (_entry(), "Who enters, and when."),
        "exit": (one_or_many(exit_rule), "What ends the journey in any step."),
        "max_duration": (
            CALENDAR_DURATION,
            "How long a passage may last; who is still inside leaves: expired.",
        ),
        "purpose": (EVENT, "What the journey's messages are for; a send step can name another purpose."),
        "migrate": (
            keys(picked(MIGRATE_KEYS, MIGRATE), required=MIGRATE_REQUIRED),
            "Those inside older versions come along into this one; without it they keep the version that they entered.",
        ),
        "goal": (keys(GOAL, required=["on"]), "What the journey is to achieve; reaching it ends the passage."),
        "holdout": (PERCENT, "The control group: enters, gets nothing, is measured."),
        "steps": (pairs(_step()), "The steps, from top to bottom; each has a name that is its identity."),
    }
    return keys(picked(JOURNEY_KEYS, known), required=REQUIRED_KEYS)


def channels() -> Schema:
    """Of `channels.yaml`."""
    about_address: Described = {
        "on": (EVENT, "The type of event."),
        "where": (EXPRESSION, "The condition."),
        "address": (EXPRESSION, "The address that the event is about; without it that of the profile."),
    }
    of_address = keys(picked(REACH_KEYS, about_address), required=["on"])
    channel: Described = {
        "address": (EVENT, "The attribute of the profile that a message needs."),
        "consent": (NAME, "What the customer must have agreed to."),
        UNREACHABLE_ON: (one_or_many(of_address), "Events after which the customer's address is of no use."),
        REACHABLE_ON: (one_or_many(of_address), "Events after which it is of use again."),
    }
    of_channel = keys(picked(CHANNEL_KEYS, channel), required=CHANNEL_REQUIRED)
    return keys(
        {"channels": (pairs(of_channel), "How customers are reached, by channel.")},
        required=["channels"],
    )


def audiences() -> Schema:
    """Of `audiences.yaml`."""
    audience: Described = {
        "destination": (NAME, "Where the audience is kept; commands go to the topic actions.DESTINATION."),
        "identity": (EVENT, "The attribute of the profile that says who the customer is there."),
        "consent": (NAME, "What the customer must have agreed to."),
    }
    return keys(
        {
            "audiences": (
                pairs(keys(picked(AUDIENCE_KEYS, audience), required=AUDIENCE_KEYS)),
                "Lists of people elsewhere, by name.",
            )
        },
        required=["audiences"],
    )


def segments() -> Schema:
    """Of `segments.yaml`."""
    segment: Described = {
        "when": (EXPRESSION, "The condition that holds for the customers of the segment."),
        "title": (TEXT, "What the segment is, in a few words."),
    }
    return keys(
        {
            "segments": (
                pairs(keys(picked(SEGMENT_KEYS, segment), required=SEGMENT_REQUIRED)),
                "Customers who have something in common, by name.",
            )
        },
        required=["segments"],
    )


def webhooks() -> Schema:
    """Of `webhooks.yaml`."""
    webhook: Described = {
        "endpoint": (NAME, "The endpoint, by the name under which the sink knows its address and secrets."),
        "method": (words(METHODS), "The method of the request; POST if nothing is said."),
        "class": (words(MESSAGE_CLASSES), "Promotional or transactional (default), for the sink to know."),
        "expires": (DURATION, "A request that could not be made by then is not made; 1 day if nothing is said."),
    }
    return keys(
        {
            "webhooks": (
                pairs(keys(picked(WEBHOOK_KEYS, webhook), required=WEBHOOK_REQUIRED)),
                "Requests to other systems, by name.",
            )
        },
        required=["webhooks"],
    )


def experiments() -> Schema:
    """Of `experiments.yaml`."""
    experiment: Described = {
        "arms": (pairs(PERCENT), "The arms, the control arm first, with the shares of customers; add up to 100%."),
        "salt": (TEXT, "Experiments with the same salt draw the same lot; without it each draws its own."),
        "owner": (TEXT, "Who answers for it."),
        "hypothesis": (TEXT, "What is to be found out."),
        "from": (DAY, "When it begins: a date or a local time, with a zone if need be."),
        "until": (DAY, "When it ends; the day or instant itself does not belong to it."),
    }
    of_one = keys(picked(EXPERIMENT_KEYS, experiment), required=EXPERIMENT_REQUIRED)
    return keys({"experiments": (pairs(of_one), "The experiments by name.")}, required=["experiments"])


def policies() -> Schema:
    """Of `policies.yaml`."""
    cap: Described = {
        "name": (NAME, "The cap's name."),
        "channels": (one_or_many(EVENT), "The channels whose messages count, or all."),
        "max": (whole(1, CAP_MAX), "How many promotional messages a customer gets at most in any window of `per`."),
        "per": (DURATION, "The length of the sliding window."),
        "purposes": (one_or_many(EVENT), "The purposes whose messages count; without it all."),
        "journeys": (one_or_many(EVENT), "The journeys whose messages count; without it all."),
    }
    quiet: Described = {
        "channels": (one_or_many(EVENT), "The channels that are quiet, or all."),
        "from": (CLOCK, "The local time of day at which quiet hours begin."),
        "to": (CLOCK, "The local time of day at which they end."),
        "zone": (ZONE, "The time zone: customer (default) or a name such as Europe/Berlin."),
        "then": (words(QUIET_WAYS), "Promotional messages are held until the end (default), or skipped."),
        "late_after": (DURATION, "A message that would be held longer than this is skipped."),
    }
    rate: Described = {
        "channels": (one_or_many(EVENT), "The channels whose messages count, or all."),
        "max": (whole(1, RATE_MAX), "How many messages of all customers go out at most in any window of `per`."),
        "per": (DURATION, "The length of the sliding window."),
        "late_after": (DURATION, "A message that would wait longer than this for its turn is not sent."),
    }
    consent = {"anyOf": [NAME, {"type": "object", "additionalProperties": NAME, "minProperties": 1}]}
    purpose: Described = {
        "legal_basis": (words(basis.value for basis in Basis), "By what right messages are sent; consent by default."),
        "consent": (consent, "The consent that messages need, or by channel; without it that of the purpose's name."),
    }
    holdout: Described = {
        "share": (PERCENT, "How many customers get no promotional message of any journey."),
        "salt": (TEXT, "Another salt draws other customers."),
        "except": (one_or_many(EVENT), "What they get all the same: transactional, and purposes."),
    }
    known: Described = {
        "caps": (items(keys(picked(CAP_KEYS, cap), required=CAP_REQUIRED)), "Frequency caps, over all journeys."),
        "default_zone": (DEFAULT_ZONE, "The time zone of customers whose own is not known; UTC if nothing is said."),
        "quiet_hours": (
            items(keys(picked(QUIET_KEYS, quiet), required=QUIET_REQUIRED)),
            "When no promotional message goes out.",
        ),
        "rates": (
            items(keys(picked(RATE_KEYS, rate), required=RATE_REQUIRED)),
            "How many messages a channel takes, of all customers together.",
        ),
        "purposes": (pairs(keys(picked(PURPOSE_KEYS, purpose))), "What messages are for, and by what right."),
        "default_purpose": (EVENT, "The purpose of promotional messages that name none."),
        "global_holdout": (
            keys(picked(HOLDOUT_KEYS, holdout), required=HOLDOUT_REQUIRED),
            "Customers who are left alone by all journeys, to measure what they do together.",
        ),
    }
    return keys(picked(POLICY_KEYS, known))


def governance() -> Schema:
    """Of `governance.yaml`."""
    approval: Described = {
        "for": (one_or_many(words(APPROVABLE)), "What needs it: journeys of these statuses, or the rules for all."),
        "by": (one_or_many(NAME), "The groups whose people may approve."),
        "journeys": (one_or_many(EVENT), "Only these journeys; without it all."),
        "count": (whole(1, APPROVALS_MAX), "How many people have to approve; 1 by default."),
        "not_author": (BOOLEAN, "Whether the owner, and who brings it into force, do not count (default)."),
    }
    environment: Described = {
        "forbid": (one_or_many(words(STATUS_WORDS)), "Journeys of these statuses may not come into force."),
        "approvals": (items(keys(picked(APPROVAL_KEYS, approval), required=APPROVAL_REQUIRED)), "What needs approval."),
    }
    require: Described = {
        "owners": (one_or_many(TEXT), "Who may own journeys; * stands for anything."),
        "approver": (BOOLEAN, "Whether each journey names who approves of it."),
        "promotional_basis": (
            one_or_many(words(basis.value for basis in Basis)),
            "The legal bases that purposes of promotional messages may have; then each message needs a purpose.",
        ),
        "unsubscribe": (
            one_or_many(EVENT),
            "The channels whose promotional messages hold a link to sign off with; [] for none.",
        ),
    }
    known: Described = {
        "groups": (pairs(one_or_many(TEXT)), "Groups of people, by name."),
        "require": (keys(picked(REQUIRE_KEYS, require)), "What holds for journeys everywhere."),
        "environments": (
            pairs(keys(picked(ENVIRONMENT_KEYS, environment))),
            "What holds where, such as in production.",
        ),
    }
    return keys(picked(GOVERNANCE_KEYS, known))


def profile() -> Schema:
    """Of `profile.yaml`."""
    consent: Described = {
        "key": (EXPRESSION, "Which consent, as an expression: a fixed one has quotes inside quotes, \"'email'\"."),
        "granted": (EXPRESSION, "Whether it is granted, as an expression."),
    }
    rule: Described = {
        "on": (EVENT, "The type of event that says something about the customer."),
        "set": (ASSIGNMENTS, "Attributes and what they are set to; null leaves one as it is."),
        "nulls": (words(NULL_WAYS), "Whether null leaves an attribute as it is (keep), or takes it away (clear)."),
        "consent": (one_or_many(keys(consent, required=consent)), "Consent that the event gives or takes."),
    }
    of_rule = keys(rule, required=["on"], anyOf=[{"required": ["set"]}, {"required": ["consent"]}])
    return keys(
        {"profile": (items(of_rule), "What events say about customers; rules are applied in order.")},
        required=["profile"],
    )


EXPECTED: Described = {
    "sent": (TEXT, "A message went out on this channel."),
    "not_sent": (TEXT, "No message went out on this channel, or on any: anything."),
    "messages": (whole(0), "How many messages went out up to then."),
    "in_step": (TEXT, "The step in which the customer is."),
    "inside": (BOOLEAN, "Whether the customer is inside the journey."),
    "entered": (BOOLEAN, "Whether the customer entered."),
    "held_out": (BOOLEAN, "Whether the customer is in the control group."),
    "exited": (TEXT, "The customer left, for this reason."),
    "goal": (SCALAR, "reached, missed, or what it was worth."),
    "transition": (words(TRANSITIONS), "A decision of this kind was made."),
    "profile": ({"type": "object"}, "Attributes and their values; null for none."),
    "consent": ({"type": "object", "additionalProperties": BOOLEAN}, "Consent and whether it is granted."),
    "reachable": (
        {"type": "object", "additionalProperties": BOOLEAN},
        "Channels and whether an address leads to the customer there.",
    ),
    "audience": ({"type": "object", "additionalProperties": BOOLEAN}, "Audiences and whether the customer is in."),
    "segment": ({"type": "object", "additionalProperties": BOOLEAN}, "Segments and whether the customer is in."),
    "emitted": (EVENT, "A journey published an event of this type."),
    "command": (words(COMMANDS), "A command of this kind went out."),
}
EXPECTED_BESIDES: Described = {
    "template": (TEXT, "The message's template."),
    "language": (TEXT, "The language of the text that was used."),
    "contains": (one_or_many(TEXT), "Words that the message contains."),
    "step": (TEXT, "The step that it came from."),
    "address": (TEXT, "Where the message went."),
    "target": (TEXT, "What the command is about: the audience, the queue, the webhook."),
    "with": ({"type": "object"}, "Fields of the event and their values."),
    "because": (TEXT, "The reason, such as capped or no_consent."),
    "to": (TEXT, "The step gone to."),
    "key": (TEXT, "Which of several passages."),
}
OF_ANY_EXPECTATION: Described = {
    "at": (OFFSET, "When, from the start; without it at any time."),
    "journey": (TEXT, "Another journey than the file's."),
}


def _expectation() -> Schema:
    lines = []
    for kind, besides in EXPECTATIONS.items():
        value, doc = EXPECTED[kind]
        own = {kind: (BOOLEAN if kind in YES_OR_NO else value, doc)}
        known = {**own, **picked(sorted(besides), EXPECTED_BESIDES), **OF_ANY_EXPECTATION}
        lines.append(keys(known, required=[kind], about=f"{kind}: {doc}", title=kind))
    return {"oneOf": lines}


def scenarios() -> Schema:
    """Of `<journey>.scenarios.yaml`."""
    sent: Described = {
        "ago": (AGO, "How long before the start."),
        "channel": (TEXT, "The channel that the message was sent on."),
        "journey": (TEXT, "The journey that it came from."),
        "purpose": (TEXT, "What it was for; without it the default purpose."),
    }
    given: Described = {
        "time": (TEXT, "When the scenario starts, in ISO 8601; a Monday at 09:00 UTC if nothing is said."),
        "customer": (TEXT, "The customer's id."),
        "profile": ({"type": "object"}, "Attributes of the profile at the start."),
        "consent": ({"type": "object", "additionalProperties": BOOLEAN}, "Consent at the start."),
        "reachable": (
            {"type": "object", "additionalProperties": BOOLEAN},
            "Channels whose address is known to be of no use: {email: false}.",
        ),
        "audience": ({"type": "object", "additionalProperties": BOOLEAN}, "Audiences that the customer is in."),
        "sent_before": (
            {"type": "array", "items": keys(sent, required=["ago", "channel"])},
            "Messages that count for caps.",
        ),
        "split": ({"type": "object", "additionalProperties": TEXT}, "Split -> the arm that chance chooses."),
        "experiment": ({"type": "object", "additionalProperties": TEXT}, "Experiment -> the arm that chance chooses."),
        "held_out": (BOOLEAN, "Whether chance puts the customer into the control group."),
        "backfill": (BOOLEAN, "Whether journeys with backfill come into force at the start."),
        "global_holdout": (BOOLEAN, "Whether chance puts the customer into the global holdout."),
        "under": (EVENT, "An older form of the journey, NAME.<anything>.earlier.yaml, that is in force at the start."),
    }
    change: Described = {
        "at": (OFFSET, "When, from the start; without it when the event above happens."),
        CHANGE_OVER: ({"const": True}, "The journeys of this directory come into force."),
    }
    event: Described = {
        "at": (OFFSET, "When, from the start; without it when the event above happens."),
        "event": (TEXT, "The type of event."),
        "with": ({"type": "object"}, "Its fields; {action_of: STEP} is the id of the message that the step sent."),
        "pause": (TEXT, "This journey is paused."),
        "resume": (TEXT, "This journey, which is paused, runs again."),
    }
    happening = keys(event, oneOf=[{"required": [what]} for what in ("event", "pause", "resume")])
    scenario: Described = {
        "name": (TEXT, "What is shown, as a sentence."),
        "given": (keys(given), "How things are at the start."),
        "when": (
            {"type": "array", "items": {"oneOf": [happening, keys(change, required=[CHANGE_OVER])]}},
            "What happens, in order.",
        ),
        "then": ({"type": "array", "items": _expectation()}, "What is expected."),
        "until": (OFFSET, "When the scenario ends; without it when nothing more is due."),
    }
    of_scenario = keys(scenario, required=["name", "when", "then"])
    return keys(
        {"scenarios": ({"type": "array", "items": of_scenario}, "Stories about one customer each.")},
        required=["scenarios"],
    )


SCHEMAS: dict[str, tuple[Callable[[], Schema], str]] = {
    "journey": (journey, "A customer journey"),
    "channels": (channels, "How customers are reached: channels.yaml"),
    "audiences": (audiences, "Lists of people elsewhere: audiences.yaml"),
    "segments": (segments, "Who belongs together: segments.yaml"),
    "webhooks": (webhooks, "Requests to other systems: webhooks.yaml"),
    "experiments": (experiments, "Named experiments: experiments.yaml"),
    "policies": (policies, "Rules for all journeys together: policies.yaml"),
    "governance": (governance, "Who may bring what into force: governance.yaml"),
    "profile": (profile, "What events say about customers: profile.yaml"),
    "scenarios": (scenarios, "Scenarios of a journey"),
}
"""Kind of file -> its schema and its title."""


def editor_schema(kind: str) -> str:
    """The schema of one kind of file (a key of SCHEMAS) as JSON text, ending in a line break."""
    make, title = SCHEMAS[kind]
    whole_schema = {"$schema": "http://json-schema.org/draft-07/schema#", "title": title, **make()}
    return json.dumps(whole_schema, indent=2, ensure_ascii=False) + "\n"
