"""Conditions that always or never hold, by themselves, after others, or for whoever entered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orchestrator.authoring.atoms import TURNED, Atom, atom_of, cannot_fail, possible
from orchestrator.authoring.drafts import AwaitedDraft, BranchDraft, Formula, JourneyDraft, WaitForDraft
from orchestrator.authoring.expression_nodes import (
    Aggregated,
    Ambient,
    Apply,
    Constant,
    EntryField,
    EventField,
    StepField,
    Typed,
    walk,
)
from orchestrator.authoring.expression_text import text_of
from orchestrator.authoring.expressions import Checked
from orchestrator.authoring.reading import Problems
from orchestrator.authoring.satisfiable import (
    Ways,
    always_holds,
    are_apart,
    leaves,
    never_holds,
    none_of,
    rewritten,
    together,
    ways,
)
from orchestrator.authoring.yaml_source import problem_at
from orchestrator.model.problems import Problem
from orchestrator.model.types import BOOLEAN, NULL

CheckedFormulas = Mapping[Formula, Checked]
_TRUE = Constant(BOOLEAN, value=True)
_JOINED = frozenset({"and", "or", "not"})


def check_condition(formula: Formula, checked: Checked, problems: Problems) -> bool:
    """Appends the first part of the condition that always or never holds; whether there is one."""
    found = next(_parts_without_choice(formula, checked.node), None)
    if found is not None:
        problems.append(found)
    return found is not None


def check_conditions(draft: JourneyDraft, checked: CheckedFormulas, problems: Problems) -> None:
    """Appends what the conditions of one journey make of each other. `checked` are its own, which hold for some and
    not for others as they stand.
    """
    _check_exits(draft, checked, problems)
    _check_after_entry(draft, checked, problems)
    for step in draft.steps:
        if isinstance(step, BranchDraft):
            _check_cases(step, checked, problems)
        elif isinstance(step, WaitForDraft):
            _check_awaited(step, checked, problems)
            _check_left_before(step, draft, checked, problems)


def _parts_without_choice(formula: Formula, node: Typed) -> Iterator[Problem]:
    for part in walk(node):
        if isinstance(part, Aggregated) and part.where is not None:
            yield from _parts_without_choice(formula, part.where)
        elif isinstance(part, Apply) and (part.name in TURNED or part.name == "in"):
            atom = atom_of(part)
            never, always = _without_choice(atom) if isinstance(atom, Atom) else (not atom, atom)
            if never:
                hint = "correct it, or leave out what depends on it"
                yield problem_at(formula.node, "J461", f"this is never true: {text_of(part)}", hint=hint)
            elif always and cannot_fail(part):
                message = f"this is always true: {text_of(part)}"
                yield problem_at(formula.node, "J462", message, hint="correct it, or leave it out")
    joined = [part for part in walk(node) if isinstance(part, Apply) and part.name in _JOINED]
    # What is joined by the same word once more says nothing that the whole of it does not.
    inner = {id(one) for part in joined for one in part.arguments if isinstance(one, Apply) and one.name == part.name}
    for part in joined:
        if id(part) not in inner and part.type == BOOLEAN and _may_lack_choice(part):
            if never_holds(part):
                hint = "no value passes all of it; correct one of its parts"
                yield problem_at(formula.node, "J463", f"this never holds: {text_of(part)}", hint=hint)
            elif always_holds(part):
                hint = "whatever the values are, a part of it holds; correct one of them, or leave it out"
                yield problem_at(formula.node, "J464", f"this always holds: {text_of(part)}", hint=hint)


def _may_lack_choice(node: Typed) -> bool:
    """Whether it is worth looking at all ways: nearly all conditions are about things that are apart."""
    atoms = [atom_of(leaf) for leaf in leaves(node)]
    if all(isinstance(atom, bool) for atom in atoms):
        # It is written as true or false, which somebody means.
        return False
    return any(isinstance(atom, bool) for atom in atoms) or not are_apart(
        [atom.subject for atom in atoms if isinstance(atom, Atom)]
    )


def _without_choice(atom: Atom) -> tuple[bool, bool]:
    """(whether none, whether each of the subject's values passes)."""
    can_be = possible(atom.subject)
    of = atom.subject.type
    return (atom.passing & can_be).is_empty(of), (~atom.passing & can_be).is_empty(of)


def _check_exits(draft: JourneyDraft, checked: CheckedFormulas, problems: Problems) -> None:
    entered = ways(_condition(draft.entry.where, checked))
    for rule in draft.exits:
        found = None if rule.when is None else checked.get(rule.when)
        if found is None or rule.when is None:
            continue
        at_entry = rewritten(found.node, _as_at_entry)
        if cannot_fail(at_entry) and together(entered, ways(at_entry, holds=False)) == []:
            message = f"nobody can enter: this exit condition holds for everyone who would: {found.text}"
            hint = "correct it, or the entry condition"
            problems.append(problem_at(rule.when.node, "J334", message, hint=hint))


def _as_at_entry(node: Typed) -> Typed:
    """What a value is at the moment of entry, in the entry condition's words."""
    match node:
        case EntryField():
            return EventField(node.type, node.name)
        case StepField(name="visits"):
            return Constant(node.type, 0)
        case StepField():
            return Constant(NULL, None)
        case Ambient(name="entry.at"):
            return Ambient(node.type, "now")
        case _:
            return node


def _check_after_entry(draft: JourneyDraft, checked: CheckedFormulas, problems: Problems) -> None:
    """Warns of conditions that cannot hold for anyone whom the entry condition let in.

    Only what the entry event said is as it was then. It is no more than a warning, because customers of another version
    may be brought into this one.
    """
    where = draft.entry.where
    known = _of_entry_event(ways(_condition(where, checked)))
    if not known or {} in known:
        return
    told = {part.name for way in known for subject in way for part in walk(subject) if isinstance(part, EntryField)}
    for formula, found in checked.items():
        if formula is where or formula is draft.entry.key or found.type.kind is not BOOLEAN.kind:
            continue
        if any(isinstance(part, EntryField) and part.name in told for part in walk(found.node)):
            by_itself = ways(found.node)
            if by_itself != [] and together(known, by_itself) == []:
                message = f"this holds for nobody whom the entry condition lets in: {found.text}"
                problems.append(
                    problem_at(formula.node, "J335", message, hint="correct one of the two", severity="warning")
                )


def _of_entry_event(entered: Ways) -> Ways:
    """What the ways to enter say of the entry event alone, in the words of the conditions after it."""
    if entered is None:
        return None
    return [
        {rewritten(subject, _as_after_entry): known for subject, known in way.items() if _is_of_event(subject)}
        for way in entered
    ]


def _is_of_event(subject: Typed) -> bool:
    return all(isinstance(part, EventField | Constant | Apply) for part in walk(subject))


def _as_after_entry(node: Typed) -> Typed:
    return EntryField(node.type, node.name) if isinstance(node, EventField) else node


def _check_cases(step: BranchDraft, checked: CheckedFormulas, problems: Problems) -> None:
    earlier: list[Typed] = []
    for case in step.cases:
        found = checked.get(case.when)
        if found is None:
            return
        if earlier and together(none_of(earlier), ways(found.node)) == []:
            message = f'this case of "{step.name.name}" is never reached: earlier cases take all for whom it holds'
            hint = "put the narrower case first, or delete it"
            problems.append(problem_at(case.when.node, "J332", message, hint=hint))
            return
        earlier.append(found.node)
    # A new symbol of an enumeration is what `otherwise` is for.
    is_open = any(part.type.symbols for node in earlier for part in walk(node))
    if step.otherwise is not None and not is_open and none_of(earlier) == []:
        message = f'"otherwise" of "{step.name.name}" is never reached: the cases take everyone'
        hint = "make the last case the otherwise"
        problems.append(problem_at(step.otherwise.node, "J333", message, hint=hint, severity="warning"))


def _check_awaited(step: WaitForDraft, checked: CheckedFormulas, problems: Problems) -> None:
    earlier: list[tuple[AwaitedDraft, Typed]] = []
    for awaited in step.awaited:
        condition = _condition(awaited.where, checked)
        before = [of for other, of in earlier if other.on.name == awaited.on.name]
        if before and awaited.where is not None and together(none_of(before), ways(condition)) == []:
            message = f'"{awaited.on.name}" is never awaited here: earlier lines take every such event'
            hint = "put the line with the narrower condition first, or delete one of them"
            problems.append(problem_at(awaited.on.node, "J336", message, hint=hint, severity="warning"))
        earlier.append((awaited, condition))


def _check_left_before(step: WaitForDraft, draft: JourneyDraft, checked: CheckedFormulas, problems: Problems) -> None:
    """Warns of awaited events with which the customer leaves: exits are looked at before what a step waits for."""
    for awaited in step.awaited:
        exits = [
            _condition(rule.where, checked)
            for rule in draft.exits
            if rule.on is not None and rule.on.name == awaited.on.name
        ]
        if exits and together(none_of(exits), ways(_condition(awaited.where, checked))) == []:
            message = f'"{awaited.on.name}" is never awaited here: the customer leaves the journey with it, by its exit'
            hint = "delete the line, or give the exit a narrower condition"
            problems.append(problem_at(awaited.on.node, "J345", message, hint=hint, severity="warning"))


def _condition(formula: Formula | None, checked: CheckedFormulas) -> Typed:
    """The condition; one that is not written, or is wrong for another reason, holds."""
    found = None if formula is None else checked.get(formula)
    return _TRUE if found is None else found.node
