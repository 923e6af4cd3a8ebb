"""How many different values a customer's past events had: exact up to a bound, then by HyperLogLog sketches.

Kept is the hash of each value, with a window as the flat list `[instant of its latest event, hash, ...]`. Beyond
`VALUES_MAX` values the hashes go into sketches: one, or with a window one for each slot (`window / SLOTS`), as the flat
list `[instant of the slot's latest event, sketch, ...]`. A value then counts up to one slot longer than the window. A
sketch has `1 << SKETCH_LG_K` registers of 4 bits: a standard error of 6.5 % in at most about 170 bytes.

Source: Apache DataSketches, whose sketches have the same bytes in every language and on every machine.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Context, Decimal
from functools import cache
from typing import Any

from xxhash import xxh3_64_intdigest

from orchestrator.engine.aggregates import SLOTS, Fold, Read, first_inside
from orchestrator.engine.merging import Merge, in_time_order

VALUES_MAX = 64
"""How many different values are kept one by one."""
SKETCH_LG_K = 8

_EXACT = Context(prec=400)


@cache
def _library() -> Any:
    """Loaded only where something is counted that has so many values: it brings numpy along, 0.3 s and 20 MB."""
    import datasketches  # noqa: PLC0415 - see above

    return datasketches


def hash_of(value: Any) -> int:
    """63 bits that stand for the value; equal decimals have equal hashes however many zeros they end in.

    >>> hash_of(Decimal("1.50")) == hash_of(Decimal("1.5")), hash_of("a") == hash_of("b")
    (True, False)
    """
    text = str(value.normalize(_EXACT)) if type(value) is Decimal else str(value)
    return xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) >> 1


def fold_distinct(window_ms: int | None) -> Fold:
    """How the count of different values takes an event in."""
    return _fold_for_ever if window_ms is None else _fold_window(window_ms)


def read_distinct(window_ms: int | None) -> Read:
    """How many different values there are, given what is kept and the instant."""
    if window_ms is None:
        return lambda kept, _: 0 if kept is None else len(kept) if type(kept) is list else _estimate([kept])
    window = window_ms

    def read(kept: Any, now_ms: int) -> int:
        if not kept:
            return 0
        start = first_inside(kept, now_ms - window)
        if type(kept[1]) is int:
            return (len(kept) - start) // 2
        return _estimate(kept[start + 1 :: 2]) if start < len(kept) else 0

    return read


def merge_distinct(window_ms: int | None) -> Merge:
    """How what is kept of the earlier events and of the later ones become one."""
    return _merge_for_ever if window_ms is None else _merge_window(window_ms)


def _fold_for_ever(kept: Any, value: Any, _: int) -> Any:
    digest = hash_of(value)
    if kept is None:
        return [digest]
    if type(kept) is not list:
        return _sketched(kept, [digest])
    if digest not in kept:
        kept.append(digest)
    return kept if len(kept) <= VALUES_MAX else _sketched(None, kept)


def _fold_window(window_ms: int) -> Callable[[Any, Any, int], Any]:
    width = -(-window_ms // SLOTS)

    def fold(kept: Any, value: Any, now_ms: int) -> Any:
        digest = hash_of(value)
        if kept:
            del kept[: first_inside(kept, now_ms - window_ms)]
        if not kept:
            return [now_ms, digest]
        if type(kept[1]) is not int:
            return _into_slot(kept, digest, now_ms, width)
        seen = kept[1::2]
        if digest in seen:
            at = 2 * seen.index(digest)
            del kept[at : at + 2]
        kept += (now_ms, digest)
        return kept if len(kept) <= 2 * VALUES_MAX else _in_slots(kept, width)

    return fold


def _in_slots(kept: list[Any], width: int) -> list[Any]:
    slots: list[Any] = []
    for index in range(0, len(kept), 2):
        slots = _into_slot(slots, kept[index + 1], kept[index], width)
    return slots


def _into_slot(slots: list[Any], what: int | bytes, at_ms: int, width: int) -> list[Any]:
    """The slots with one more value, or with a sketch of several, in that of the instant."""
    if slots and slots[-2] // width == at_ms // width:
        slots[-2] = at_ms
        slots[-1] = _sketched(slots[-1], [what]) if type(what) is int else _united(slots[-1], what)
    else:
        slots += (at_ms, _sketched(None, [what]) if type(what) is int else what)
    return slots


def _sketched(sketch: bytes | None, digests: list[int]) -> bytes:
    """The sketch with these values in it too."""
    library = _library()
    if sketch is None:
        opened = library.hll_sketch(SKETCH_LG_K, library.tgt_hll_type.HLL_4)
    else:
        opened = library.hll_sketch.deserialize(sketch)
    for digest in digests:
        opened.update(digest)
    return bytes(opened.serialize_compact())


def _merge_for_ever(older: Any, newer: Any, _: int) -> Any:
    if type(older) is list and type(newer) is list:
        digests = list(dict.fromkeys(older + newer))
        return digests if len(digests) <= VALUES_MAX else _sketched(None, digests)
    if type(older) is list:
        return _sketched(newer, older)
    return _sketched(older, newer) if type(newer) is list else _united(older, newer)


def _merge_window(window_ms: int) -> Merge:
    width = -(-window_ms // SLOTS)

    def merge(older: list[Any], newer: list[Any], now_ms: int) -> list[Any]:
        pairs = in_time_order(older, newer)
        del pairs[: first_inside(pairs, now_ms - window_ms)]
        if all(type(what) is int for what in pairs[1::2]):
            # Of a value that both have the later event counts, and it stands where that one stands.
            latest: dict[int, int] = {}
            for at_ms, digest in zip(pairs[::2], pairs[1::2], strict=True):
                latest.pop(digest, None)
                latest[digest] = at_ms
            pairs = [part for digest, at_ms in latest.items() for part in (at_ms, digest)]
            return pairs if len(pairs) <= 2 * VALUES_MAX else _in_slots(pairs, width)
        return _in_slots(pairs, width)

    return merge


def _united(one: Any, other: Any) -> bytes:
    """A sketch of the values in either."""
    library = _library()
    union = library.hll_union(SKETCH_LG_K)
    union.update(library.hll_sketch.deserialize(one))
    union.update(library.hll_sketch.deserialize(other))
    return bytes(union.get_result(library.tgt_hll_type.HLL_4).serialize_compact())


def _estimate(sketches: list[bytes]) -> int:
    """How many different values are in the sketches together."""
    library = _library()
    union = library.hll_union(SKETCH_LG_K)
    for sketch in sketches:
        union.update(library.hll_sketch.deserialize(sketch))
    return round(float(union.get_estimate()))
