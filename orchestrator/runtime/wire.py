"""Avro readers and writers compiled from schemas: one Python function each, without interpreting the schema per record.

Place in the data flow: `codec` builds one reader for each event schema it meets and one writer for each record type
it sends. fastavro interprets the schema for every record: 5.6 us to read an event of five fields and 13 us to write a
transition, where a compiled function takes a quarter of that (`tests/runtime/test_wire.py` holds that both agree).

Instants come out as milliseconds and dates as days since the epoch, both integers, decimals as `Decimal`.
Schemas are validated by fastavro first; no text of a schema becomes code, only its structure does.
Source: the Avro 1.12 specification, "Binary encoding".
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from decimal import Context, Decimal
from typing import Any

import fastavro

Reader = Callable[[bytes, int], Any]
"""(bytes, offset of the first byte) -> value. Raises some Exception if the bytes are no such value."""

Writer = Callable[[Any], bytes]
"""value -> prefix and encoded value. The value's fields are read as attributes."""

Schema = Any
"""A schema as JSON gives it: a name, a list (union) or an object."""

_INSTANT_DIVISORS = {
    "timestamp-millis": 1,
    "timestamp-micros": 1_000,
    "timestamp-nanos": 1_000_000,
    "local-timestamp-millis": 1,
    "local-timestamp-micros": 1_000,
    "local-timestamp-nanos": 1_000_000,
}
_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
# Wide enough never to round: a decimal is exactly its unscaled integer, moved by its scale.
_EXACT = Context(prec=999_999)
_REPEATED_STRINGS_MAX = 10_000


class Unsupported(ValueError):
    """The schema has a shape that is not compiled (a record that contains itself)."""


def compile_reader(schema_text: str) -> Reader:
    """A reader for values of this schema.

    Raises: Unsupported; fastavro's SchemaParseException if the text is no schema.
    """
    schema = json.loads(schema_text)
    fastavro.parse_schema(schema)
    source = _ReaderSource()
    source.value(schema, "result", namespace="", inside=())
    body = [
        *source.lines,
        # Slices do not mind the end of the bytes; this does.
        "if i > len(b): raise ValueError('the bytes end within the value')",
        "return result",
    ]
    read: Reader = _function("def read(b, i):", body, source.constants, "read")
    return read


def compile_writer(
    schema_text: str,
    *,
    prefix: bytes,
    attributes: Mapping[str, str],
    repeated: frozenset[str],
    mapped: frozenset[str] = frozenset(),
) -> Writer:
    """A writer for values of this record schema, with `prefix` before each.

    `attributes` names the attribute for each field whose attribute has another name. The strings of `repeated` fields
    come from a small set (journey names, reasons), so their encoded form is remembered. The records of `mapped` fields
    are mappings, in which what is null may be left out.

    Raises: Unsupported for types that the orchestrator's own records do not use.
    """
    schema = json.loads(schema_text)
    fastavro.parse_schema(schema)
    source = _WriterSource(attributes, repeated, mapped)
    parts = source.value(schema, "value", field="")
    body = [*source.lines, f"return join(({', '.join(['prefix', *parts])},))"]
    constants = source.constants | {"prefix": prefix, "join": b"".join}
    write: Writer = _function("def write(value):", body, constants, "write")
    return write


def _function(head: str, body: list[str], constants: dict[str, Any], name: str) -> Any:
    text = "\n".join([head, *("    " + line for line in body)])
    scope = dict(constants)
    # The text is made here from the schema's structure alone: names and symbols are constants that it refers to.
    exec(compile(text, f"<avro {name}r>", "exec"), scope)  # noqa: S102 - as namedtuple and dataclasses do
    return scope[name]


def read_long(b: bytes, i: int) -> tuple[int, int]:
    """The variable-length integer at `i`, and where it ends."""
    shift = 0
    value = 0
    while True:
        byte = b[i]
        i += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), i
        shift += 7
        if shift > 63:
            raise ValueError("an integer is longer than ten bytes")


def _read_instant(b: bytes, i: int) -> tuple[int, int]:
    """As `read_long`, quickest for six bytes: the milliseconds of the years 1970 to 2039."""
    x = int.from_bytes(b[i : i + 6], "little")
    if x & 0x8080_8080_8080 == 0x0080_8080_8080:
        value = (
            x & 0x7F
            | (x & 0x7F00) >> 1
            | (x & 0x7F_0000) >> 2
            | (x & 0x7F00_0000) >> 3
            | (x & 0x7F_0000_0000) >> 4
            | (x & 0x7F00_0000_0000) >> 5
        )
        return (value >> 1) ^ -(value & 1), i + 6
    return read_long(b, i)


def _read_size(b: bytes, i: int) -> tuple[int, int]:
    """A byte count that does not fit the quick way: several bytes long, or damaged."""
    size, i = read_long(b, i)
    if size < 0:
        raise ValueError("a size is negative")
    return size, i


def _read_count(b: bytes, i: int) -> tuple[int, int]:
    """The number of items in the next block of an array or map; 0 ends it."""
    count, i = read_long(b, i)
    if count < 0:
        count = -count
        _, i = read_long(b, i)
    if count > len(b):
        raise ValueError("a block has more items than bytes")
    return count, i


class _ReaderSource:
    """The lines of a reader under construction: `b` is the bytes, `i` the place in them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {
            "long": read_long,
            "instant": _read_instant,
            "size": _read_size,
            "count": _read_count,
            "Decimal": Decimal,
            "exact": _EXACT,
            "integer": int.from_bytes,
            "unpack_float": struct.Struct("<f").unpack_from,
            "unpack_double": struct.Struct("<d").unpack_from,
        }
        self._names: dict[str, tuple[Schema, str]] = {}
        self._indent = ""
        self._count = 0

    def emit(self, *lines: str) -> None:
        self.lines.extend(self._indent + line for line in lines)

    def fresh(self) -> str:
        self._count += 1
        return f"v{self._count}"

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def value(self, schema: Schema, target: str, *, namespace: str, inside: tuple[str, ...]) -> None:
        """Emits lines that read a value of this schema into the variable `target`."""
        if isinstance(schema, list):
            self._union(schema, target, namespace, inside)
            return
        if isinstance(schema, str):
            if schema in _PRIMITIVES:
                self._primitive(schema, {}, target)
                return
            full = schema if "." in schema or not namespace else f"{namespace}.{schema}"
            schema, namespace = self._names[full if full in self._names else schema]
        kind = schema["type"]
        if isinstance(kind, (dict, list)):
            self.value(kind, target, namespace=namespace, inside=inside)
        elif kind in {"record", "error", "enum", "fixed"}:
            namespace = self._named(schema, target, namespace, inside)
        elif kind == "array":
            self._blocks(target, "[]", namespace)
            item = self.fresh()
            self.value(schema["items"], item, namespace=namespace, inside=inside)
            self._end_blocks(f"{target}.append({item})")
        elif kind == "map":
            self._blocks(target, "{}", namespace)
            key, item = self.fresh(), self.fresh()
            self._primitive("string", {}, key)
            self.value(schema["values"], item, namespace=namespace, inside=inside)
            self._end_blocks(f"{target}[{key}] = {item}")
        elif kind in _PRIMITIVES:
            self._primitive(kind, schema, target)
        else:
            self.value(kind, target, namespace=namespace, inside=inside)

    def _named(self, schema: Schema, target: str, namespace: str, inside: tuple[str, ...]) -> str:
        name = schema["name"]
        namespace = name.rpartition(".")[0] if "." in name else schema.get("namespace", namespace)
        full = name if "." in name or not namespace else f"{namespace}.{name}"
        if full in inside:
            raise Unsupported(f"record {full} contains itself")
        self._names[full] = (schema, namespace)
        if schema["type"] == "enum":
            index = self.fresh()
            symbols = self.constant(dict(enumerate(schema["symbols"])))
            self._primitive("long", {}, index)
            self.emit(f"{target} = {symbols}[{index}]")
        elif schema["type"] == "fixed":
            size = int(schema["size"])
            self.emit(f"{target} = b[i:i + {size}]", f"i += {size}")
            self._decimal(schema, target)
        else:
            entries = []
            for field in schema["fields"]:
                variable = self.fresh()
                self.value(field["type"], variable, namespace=namespace, inside=(*inside, full))
                entries.append(f"{self.constant(field['name'])}: {variable}")
            self.emit(f"{target} = {{{', '.join(entries)}}}")
        return namespace

    def _union(self, branches: list[Schema], target: str, namespace: str, inside: tuple[str, ...]) -> None:
        index = self.fresh()
        self.emit(f"{index} = b[i]", "i += 1")
        for number, branch in enumerate(branches):
            # A branch number is a zigzag integer, so branch n is the byte 2n: unions have fewer than 64 branches.
            self.emit(f"{'if' if number == 0 else 'elif'} {index} == {2 * number}:")
            self._indent += "    "
            self.value(branch, target, namespace=namespace, inside=inside)
            self._indent = self._indent[:-4]
        self.emit("else:", "    raise ValueError('a union has no such branch')")

    def _blocks(self, target: str, empty: str, _namespace: str) -> None:
        items = self.fresh()
        self.emit(f"{target} = {empty}", f"{items}, i = count(b, i)", f"while {items}:")
        self._indent += "    "
        self.emit(f"for _ in range({items}):")
        self._indent += "    "
        self._open = [*getattr(self, "_open", []), items]

    def _end_blocks(self, add: str) -> None:
        items = self._open.pop()
        self.emit(add)
        self._indent = self._indent[:-4]
        self.emit(f"{items}, i = count(b, i)")
        self._indent = self._indent[:-4]

    def _primitive(self, kind: str, schema: Mapping[str, Any], target: str) -> None:
        if kind in {"string", "bytes"}:
            size = self.fresh()
            decode = ".decode()" if kind == "string" else ""
            self.emit(
                f"{size} = b[i]",
                # One byte, not negative: what almost every size is.
                f"if {size} & 129:",
                f"    {size}, i = size(b, i)",
                "else:",
                "    i += 1",
                f"    {size} >>= 1",
                f"{target} = b[i:i + {size}]{decode}",
                f"i += {size}",
            )
            if kind == "bytes":
                self._decimal(schema, target)
        elif kind in {"int", "long"}:
            divisor = _INSTANT_DIVISORS.get(schema.get("logicalType", ""))
            if divisor is not None:
                self.emit(f"{target}, i = instant(b, i)")
                if divisor > 1:
                    self.emit(f"{target} //= {divisor}")
            else:
                self.emit(
                    f"{target} = b[i]",
                    f"if {target} > 127:",
                    f"    {target}, i = long(b, i)",
                    "else:",
                    "    i += 1",
                    f"    {target} = ({target} >> 1) ^ -({target} & 1)",
                )
        elif kind == "boolean":
            self.emit(f"{target} = b[i] == 1", "i += 1")
        elif kind == "null":
            self.emit(f"{target} = None")
        else:
            width = 4 if kind == "float" else 8
            self.emit(f"{target} = unpack_{kind}(b, i)[0]", f"i += {width}")

    def _decimal(self, schema: Mapping[str, Any], target: str) -> None:
        if schema.get("logicalType") == "decimal":
            scale = int(schema.get("scale", 0))
            self.emit(f"{target} = Decimal(integer({target}, 'big', signed=True)).scaleb({-scale}, exact)")


def encode_long(n: int) -> bytes:
    """The variable-length form of an integer."""
    value = (n << 1) ^ (n >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append((value & 0x7F) | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SMALL = tuple(encode_long(n) for n in range(8192))
# Fourteen bits each, "more follows" set on both bytes: an instant is two of these and a last piece.
_PAIRS = tuple(bytes(((n & 0x7F) | 0x80, (n >> 7) | 0x80)) for n in range(1 << 14))
_LAST_PIECES = tuple(bytes((n,)) if n < 128 else bytes(((n & 0x7F) | 0x80, n >> 7)) for n in range(1 << 14))


def _encode_size(n: int) -> bytes:
    return _SMALL[n] if n < 8192 else encode_long(n)


def _encode_integer(n: int) -> bytes:
    return _SMALL[n] if 0 <= n < 8192 else encode_long(n)


def _encode_instant(n: int) -> bytes:
    """As `encode_long`, quickest for the milliseconds of the years 1970 to 2039."""
    if 1 << 34 <= n < 1 << 41:
        value = n << 1
        return _PAIRS[value & 0x3FFF] + _PAIRS[value >> 14 & 0x3FFF] + _LAST_PIECES[value >> 28]
    return encode_long(n)


class _Repeated(dict[str, bytes]):
    """Encoded strings that come again and again; it forgets all of them rather than grow without end."""

    def __missing__(self, text: str) -> bytes:
        if len(self) >= _REPEATED_STRINGS_MAX:
            self.clear()
        encoded = self[text] = _encode_string(text)
        return encoded


def _encode_string(text: str) -> bytes:
    raw = text.encode()
    return _encode_size(len(raw)) + raw


def _encode_map(entries: Mapping[str, str]) -> bytes:
    if not entries:
        return b"\0"
    items = b"".join([_encode_string(key) + _encode_string(value) for key, value in entries.items()])
    return encode_long(len(entries)) + items + b"\0"


class _WriterSource:
    """The lines of a writer under construction, and the expressions whose bytes make up the record."""

    def __init__(self, attributes: Mapping[str, str], repeated: frozenset[str], mapped: frozenset[str]) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {
            "size": _encode_size,
            "integer": _encode_integer,
            "instant": _encode_instant,
            "string": _encode_string,
            "strings": _encode_map,
            "repeated": _Repeated(),
            "small": _SMALL,
        }
        self._attributes = attributes
        self._repeated = repeated
        self._mapped = mapped

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = value
        return name

    def value(self, schema: Schema, access: str, *, field: str) -> list[str]:
        """The expressions that encode the value which `access` gives."""
        if isinstance(schema, list):
            return [self._optional(schema, access, field)]
        kind = schema if isinstance(schema, str) else schema["type"]
        if kind == "record":
            of = self._item if field in self._mapped else self._attribute
            return [
                part
                for inner in schema["fields"]
                for part in self.value(inner["type"], of(access, inner["name"]), field=inner["name"])
            ]
        if kind == "enum":
            symbols = {symbol: encode_long(number) for number, symbol in enumerate(schema["symbols"])}
            return [f"{self.constant(symbols)}[{access}]"]
        if kind == "array":
            name = f"item{len(self.constants)}"
            parts = self.value(schema["items"], name, field=field)
            items = f"join([join(({', '.join(parts)},)) for {name} in {access}])"
            return [f"((integer(len({access})) + {items}) if {access} else b'')", "b'\\0'"]
        if kind == "map" and schema["values"] == "string":
            return [f"strings({access})"]
        if kind == "string":
            return [f"repeated[{access}]" if field in self._repeated else f"string({access})"]
        if kind == "bytes":
            return [f"size(len({access}))", access]
        if kind in {"int", "long"}:
            is_instant = isinstance(schema, dict) and schema.get("logicalType") == "timestamp-millis"
            return [f"{'instant' if is_instant else 'integer'}({access})"]
        raise Unsupported(f"field {field} has a type that is not written: {kind}")

    def _item(self, access: str, field: str) -> str:
        return f"{access}.get({self.constant(field)})"

    def _attribute(self, access: str, field: str) -> str:
        attribute = self._attributes.get(field, field)
        if not attribute.isidentifier():
            raise Unsupported(f"{attribute!r} is no attribute")
        return f"{access}.{attribute}"

    def _optional(self, branches: list[Schema], access: str, field: str) -> str:
        if len(branches) != 2 or branches[0] != "null":
            raise Unsupported(f"field {field}: only unions of null and one type are written")
        parts = self.value(branches[1], access, field=field)
        return f"(b'\\0' if {access} is None else b'\\2' + {' + '.join(parts)})"
