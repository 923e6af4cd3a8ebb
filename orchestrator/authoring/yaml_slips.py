"""What an author probably did where YAML cannot be read, and where to look: the parser's own words do not say."""

from __future__ import annotations

NO_BREAK_SPACE = "\u00a0"


def explained(text: str, said: str, context: str, index: int, began: int) -> tuple[int, str]:
    """(where the mistake is, what to do about it), for a parser that says `said` at `index`.

    `began` is where that began of which `context` tells: a quoted text, a brace, the mapping.
    """
    blank = _no_break_space(text, min(began, index), index)
    if blank is not None:
        return blank, "there is a no-break space, which looks like a blank and is none: write a blank instead"
    if "mapping values are not allowed" in said:
        return index, "put a text that contains a colon in quotes, and check the indentation"
    if "scanning a quoted scalar" in context:
        return began, "the closing quote is missing"
    if "cannot start any token" in said or "alphabetic or numeric character" in said:
        return index, "a text that begins with this sign needs quotes around it"
    if "could not find expected ':'" in said:
        return began, "a key, a colon, a blank, a value: write key: value"
    if "expected ',' or" in said:
        bracket = text[began : began + 1]
        return index, f'the "{bracket}" of line {_line(text, began)} is not closed, or a value before here needs quotes'
    if "expected '-' indicator" in said:
        return index, "each item of a list begins with a dash; steps are no list, they are names: think: {wait: 1 hour}"
    if "did not find expected key" in said:
        if text[text.rfind("\n", 0, index) + 1 : index].strip():
            return index, "put quotes around the whole value: within '...' a quote is written twice"
        column = began - text.rfind("\n", 0, began)
        return index, (
            f"the keys that belong together stand below each other: those of line {_line(text, began)} "
            f"begin in column {column}"
        )
    return index, ""


def _line(text: str, index: int) -> int:
    return text.count("\n", 0, index) + 1


def _no_break_space(text: str, first: int, last: int) -> int | None:
    """Where one stands in these lines outside of a text, as far as can be told; None if there is none."""
    line_start = text.rfind("\n", 0, first) + 1
    found = text.find(NO_BREAK_SPACE, line_start, last + 1)
    return None if found < 0 else found
