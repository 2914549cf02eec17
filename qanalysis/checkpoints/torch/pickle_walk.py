"""What does a pickle say, without doing what it says?

A stack machine over the opcodes of protocols 0 to 5 that builds Python's own containers, numbers and text and nothing
else: globals, calls and persistent ids become the inert values of `stubs`. Nothing is imported or called; nesting costs
no recursion; the number of steps and of objects is bounded, so that memory stays in proportion to the pickle.
Opcodes: https://docs.python.org/3/library/pickletools.html.
"""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from typing import Any

from qanalysis.checkpoints.torch.stubs import Call, Name, Reference, hold_key

#: The most opcodes and the most containers and calls that one pickle may have: about 450,000 tensors.
MAX_STEPS = 20_000_000
MAX_OBJECTS = 4_000_000

_MAX_LONG = 1024  # bytes of an integer; the decimal text of a longer one could not be printed
_MAX_PROTOCOL = 5
_DEFAULTDICT = "collections.defaultdict"
_DICTS = frozenset({"collections.OrderedDict", "collections.Counter", _DEFAULTDICT})
_read_u32 = struct.Struct("<I").unpack_from


class PickleError(ValueError):
    """A pickle that is damaged or asks for more than is read; the text says what and where."""


class PickleEndError(PickleError):
    """The bytes end before the pickle does."""


def walk_pickle(data: bytes, start: int = 0) -> tuple[Any, int]:
    """The content of the pickle at byte `start`, and where it ends.

    Raises PickleEndError where the bytes end first and PickleError for everything else that can not be read.

    >>> import pickle
    >>> walk_pickle(pickle.dumps({"a": [1, 2.5, None]}, protocol=2))
    ({'a': [1, 2.5, None]}, 32)
    """
    return _Machine(data, start).run()


class _Machine:
    """The state of a walk. Each `do_` method is one opcode, or several that differ in a width."""

    def __init__(self, data: bytes, start: int) -> None:
        self.data, self.place = data, start
        self.stack: list[Any] = []
        self.outer: list[list[Any]] = []  # stacks below the marks
        self.memo: dict[int, Any] = {}
        self.names: dict[tuple[str, str], Name] = {}
        self.objects = 0

    def run(self) -> tuple[Any, int]:
        data, opcodes, place = self.data, _OPCODES, self.place
        try:
            for _step in range(MAX_STEPS):
                place = self.place
                code = data[place]
                self.place = place + 1
                if code == _STOP:
                    return self.stack.pop(), self.place
                opcodes[code](self)
        except PickleError:
            raise
        except KeyError:
            what = "recalls what it never kept" if data[place] in _OPCODES else "is no opcode that is read"
            raise PickleError(f"byte {place} ({data[place]:#04x}) {what}") from None
        except (IndexError, TypeError, ValueError, AttributeError, OverflowError, struct.error) as error:
            if self.place >= len(data) or isinstance(error, struct.error):
                raise PickleEndError("it ends before its pickle does") from None
            raise PickleError(f"its pickle is damaged at byte {place}") from error
        raise PickleError(f"its pickle has more than {MAX_STEPS:,} steps")

    def count(self) -> None:
        self.objects += 1
        if self.objects > MAX_OBJECTS:
            raise PickleError(f"its pickle makes more than {MAX_OBJECTS:,} objects")

    def take(self, length: int) -> bytes:
        start = self.place
        if length > len(self.data) - start:
            raise PickleEndError("it ends before its pickle does")
        self.place = start + length
        return self.data[start : self.place]

    def take_line(self) -> bytes:
        end = self.data.find(b"\n", self.place)
        if end < 0:
            raise PickleEndError("it ends before its pickle does")
        line = self.data[self.place : end]
        self.place = end + 1
        return line

    def take_number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def pop_mark(self) -> list[Any]:
        above = self.stack
        self.stack = self.outer.pop()
        return above

    def make(self, callee: Any, args: Any) -> None:
        self.count()
        made: Any = None
        if isinstance(callee, Name):
            if callee.text in _DICTS and (args == () or callee.text == _DEFAULTDICT):
                made = {}
            elif callee.text == "torch.Size" and isinstance(args, tuple) and len(args) == 1:
                made = args[0]
        self.stack.append(Call(callee, args) if made is None else made)

    def do_nothing(self) -> None:
        pass

    def do_proto(self) -> None:
        if self.take_number(1) > _MAX_PROTOCOL:
            raise PickleError(f"its pickle is of a protocol above {_MAX_PROTOCOL}")

    def do_frame(self) -> None:
        self.take(8)

    def do_mark(self) -> None:
        self.count()
        self.outer.append(self.stack)
        self.stack = []

    def do_pop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.pop_mark()

    def do_pop_mark(self) -> None:
        self.pop_mark()

    def do_dup(self) -> None:
        self.stack.append(self.stack[-1])

    def do_binput(self) -> None:
        place = self.place
        self.memo[self.data[place]] = self.stack[-1]
        self.place = place + 1

    def do_long_binput(self) -> None:
        self.memo[_read_u32(self.data, self.place)[0]] = self.stack[-1]
        self.place += 4

    def do_put(self) -> None:
        self.memo[int(self.take_line())] = self.stack[-1]

    def do_memoize(self) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def do_binget(self) -> None:
        self.stack.append(self.memo[self.data[self.place]])
        self.place += 1

    def do_long_binget(self) -> None:
        self.stack.append(self.memo[_read_u32(self.data, self.place)[0]])
        self.place += 4

    def do_get(self) -> None:
        self.stack.append(self.memo[int(self.take_line())])

    def do_int(self) -> None:
        line = self.take_line()
        self.stack.append(line == b"01" if line in {b"00", b"01"} else int(line))

    def do_long(self) -> None:
        self.stack.append(int(self.take_line().rstrip(b"L")))

    def do_binint(self) -> None:
        self.stack.append(int.from_bytes(self.take(4), "little", signed=True))

    def do_binint1(self) -> None:
        self.stack.append(self.data[self.place])
        self.place += 1

    def do_binint2(self) -> None:
        self.stack.append(self.take_number(2))

    def push_long(self, length: int) -> None:
        if length > _MAX_LONG:
            raise PickleError(f"its pickle has an integer of {length} bytes; the most is {_MAX_LONG}")
        self.stack.append(int.from_bytes(self.take(length), "little", signed=True))

    def do_long1(self) -> None:
        self.push_long(self.take_number(1))

    def do_long4(self) -> None:
        self.push_long(self.take_number(4))

    def do_float(self) -> None:
        self.stack.append(float(self.take_line()))

    def do_binfloat(self) -> None:
        self.stack.append(struct.unpack(">d", self.take(8))[0])

    def do_string(self) -> None:
        quoted = self.take_line().strip()
        self.stack.append(codecs.escape_decode(quoted[1:-1])[0].decode("latin-1"))

    def do_unicode(self) -> None:
        self.stack.append(self.take_line().decode("raw-unicode-escape"))

    def do_tuple(self) -> None:
        self.count()
        above = tuple(self.pop_mark())
        self.stack.append(above)

    def do_list(self) -> None:
        self.count()
        above = self.pop_mark()
        self.stack.append(above)

    def do_dict(self) -> None:
        self.count()
        made: dict[Any, Any] = {}
        put_items(made, self.pop_mark())
        self.stack.append(made)

    def do_append(self) -> None:
        member = self.stack.pop()
        add_members(self.stack[-1], [member])

    def do_appends(self) -> None:
        members = self.pop_mark()
        add_members(self.stack[-1], members)

    def do_setitem(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        put_items(self.stack[-1], [key, value])

    def do_setitems(self) -> None:
        pairs = self.pop_mark()
        put_items(self.stack[-1], pairs)

    def push_name(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise PickleError("its pickle names a global by something else than text")
        found = self.names.get((module, name))
        if found is None:
            self.count()
            found = self.names[module, name] = Name(module, name)
        self.stack.append(found)

    def do_global(self) -> None:
        module, name = self.take_line().decode(), self.take_line().decode()
        self.push_name(module, name)

    def do_stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.push_name(module, name)

    def do_reduce(self) -> None:
        args, callee = self.stack.pop(), self.stack.pop()
        self.make(callee, args)

    def do_newobj_ex(self) -> None:
        self.stack.pop()
        self.do_reduce()

    def do_inst(self) -> None:
        args = tuple(self.pop_mark())
        self.do_global()
        self.make(self.stack.pop(), args)

    def do_obj(self) -> None:
        above = self.pop_mark()
        self.make(above[0], tuple(above[1:]))

    def do_build(self) -> None:
        state, built = self.stack.pop(), self.stack[-1]
        if isinstance(built, Call):
            built.state = state

    def do_persid(self) -> None:
        self.count()
        self.stack.append(Reference(self.take_line().decode("ascii")))

    def do_binpersid(self) -> None:
        self.count()
        self.stack.append(Reference(self.stack.pop()))


def put_items(into: Any, pairs: list[Any]) -> None:
    """Put keys and values, which take turns, into a dict or an object."""
    if isinstance(into, Call):
        into.items = {} if into.items is None else into.items
        into = into.items
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        into[hold_key(key)] = value


def add_members(into: Any, members: list[Any]) -> None:
    """Add members to a list or an object."""
    if isinstance(into, Call):
        into.members = [] if into.members is None else into.members
        into = into.members
    into.extend(members)


def _push(value: Any) -> Callable[[_Machine], None]:
    def do(machine: _Machine) -> None:
        machine.stack.append(value)

    return do


def _push_new(kind: type) -> Callable[[_Machine], None]:
    def do(machine: _Machine) -> None:
        machine.count()
        machine.stack.append(kind())

    return do


def _push_tuple(length: int) -> Callable[[_Machine], None]:
    def do(machine: _Machine) -> None:
        machine.count()
        stack = machine.stack
        made = tuple(stack[-length:])
        if len(made) < length:
            raise IndexError(length)
        del stack[-length:]
        stack.append(made)

    return do


def _push_text(width: int) -> Callable[[_Machine], None]:
    def do(machine: _Machine) -> None:
        machine.stack.append(machine.take(machine.take_number(width)).decode("utf-8", "surrogatepass"))

    return do


def _push_bytes(width: int) -> Callable[[_Machine], None]:
    def do(machine: _Machine) -> None:
        machine.stack.append(machine.take(machine.take_number(width)))

    return do


def _push_latin(width: int) -> Callable[[_Machine], None]:
    def do(machine: _Machine) -> None:  # text of Python 2
        machine.stack.append(machine.take(machine.take_number(width)).decode("latin-1"))

    return do


_STOP = ord(".")
# Left out are extensions of the registry (\x82 to \x84) and buffers from outside the pickle (\x97, \x98).
_OPCODES: dict[int, Callable[[_Machine], None]] = {
    code[0]: do
    for code, do in {
        b"\x80": _Machine.do_proto, b"\x95": _Machine.do_frame,
        b"(": _Machine.do_mark, b"0": _Machine.do_pop, b"1": _Machine.do_pop_mark, b"2": _Machine.do_dup,
        b"q": _Machine.do_binput, b"r": _Machine.do_long_binput, b"p": _Machine.do_put, b"\x94": _Machine.do_memoize,
        b"h": _Machine.do_binget, b"j": _Machine.do_long_binget, b"g": _Machine.do_get,
        b"N": _push(None), b"\x88": _push(True), b"\x89": _push(False),
        b"I": _Machine.do_int, b"L": _Machine.do_long, b"J": _Machine.do_binint, b"K": _Machine.do_binint1,
        b"M": _Machine.do_binint2, b"\x8a": _Machine.do_long1, b"\x8b": _Machine.do_long4,
        b"F": _Machine.do_float, b"G": _Machine.do_binfloat,
        b"S": _Machine.do_string, b"V": _Machine.do_unicode,
        b"T": _push_latin(4), b"U": _push_latin(1), b"X": _push_text(4), b"\x8c": _push_text(1), b"\x8d": _push_text(8),
        b"B": _push_bytes(4), b"C": _push_bytes(1), b"\x8e": _push_bytes(8), b"\x96": _push_bytes(8),
        b")": _push_new(tuple), b"]": _push_new(list), b"}": _push_new(dict), b"\x8f": _push_new(list),
        b"\x85": _push_tuple(1), b"\x86": _push_tuple(2), b"\x87": _push_tuple(3),
        b"t": _Machine.do_tuple, b"l": _Machine.do_list, b"d": _Machine.do_dict, b"\x91": _Machine.do_tuple,
        b"a": _Machine.do_append, b"e": _Machine.do_appends, b"\x90": _Machine.do_appends,
        b"s": _Machine.do_setitem, b"u": _Machine.do_setitems,
        b"c": _Machine.do_global, b"\x93": _Machine.do_stack_global,
        b"R": _Machine.do_reduce, b"\x81": _Machine.do_reduce, b"\x92": _Machine.do_newobj_ex,
        b"i": _Machine.do_inst, b"o": _Machine.do_obj, b"b": _Machine.do_build,
        b"P": _Machine.do_persid, b"Q": _Machine.do_binpersid,
    }.items()
}  # fmt: skip
