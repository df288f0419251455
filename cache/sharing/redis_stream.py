"""The stream of changes in Redis: what it is made of, and the three scripts that write to it.

The non-obvious decision: the id of a message is an epoch and a number without gaps, not a time. So a reader knows
from the next message alone whether one was missed: trimmed, lost in a failover, or lost with all of Redis, after
which the first writer begins a new epoch. And every message says which revision was in force when it was written.

Revisions: a counter in Redis which every script first raises to the highest that its caller knows. So one that was
lost goes on above every number that any connected node was given.

Two keys, in one slot of a cluster: `{name}:changes` is the stream, `{name}:counters` a hash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from cache.sharing.changes import Change, Invalidated, decode
from cache.sharing.spread import Parcel, Position

if TYPE_CHECKING:
    from redis.asyncio import Redis

_PRELUDE = """
local counters, stream = KEYS[1], KEYS[2]
local whole = function(number) return string.format('%.0f', number) end
local epoch = redis.call('HGET', counters, 'epoch')
if not epoch then
  local now = redis.call('TIME')
  epoch = now[1] * 1000 + math.floor(now[2] / 1000)
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  if last then epoch = math.max(epoch, tonumber(string.match(last[1], '^%d+')) + 1) end
  epoch = whole(epoch)
  redis.call('HSET', counters, 'epoch', epoch, 'number', 0)
end
local number = tonumber(redis.call('HGET', counters, 'number') or 0)
local revision = tonumber(redis.call('HGET', counters, 'revision') or 0)
revision = math.max(revision, tonumber(ARGV[1]))
"""
_CODA = """
redis.call('HSET', counters, 'revision', whole(revision))
"""
_JOIN = (
    _PRELUDE
    + """
local missed = ARGV[4] == '1'
if ARGV[2] ~= '' then
  local read = tonumber(ARGV[3])
  if ARGV[2] ~= epoch and ARGV[2] ~= '0' or read > number then
    missed = true
  elseif read < number then
    local following = epoch .. '-' .. whole(read + 1)
    missed = missed or #redis.call('XRANGE', stream, following, following) == 0
  end
end
if missed then revision = revision + 1 end
"""
    + _CODA
    + "return {tonumber(epoch), number, revision, missed and 1 or 0}"
)
_TELL = (
    _PRELUDE
    + """
if ARGV[2] ~= epoch then return {-1, 0} end
-- Numbers are taken first: those of a script that fails halfway show as a gap, and are never given twice.
redis.call('HSET', counters, 'number', whole(number + (#ARGV - 4) / 2))
for i = 5, #ARGV, 2 do
  number = number + 1
  local fields = {'n', ARGV[3], 'c', ARGV[i + 1]}
  if ARGV[i] == '1' then
    revision = revision + 1
    fields[5], fields[6] = 'v', whole(revision)
  end
  fields[#fields + 1], fields[#fields + 2] = 'r', whole(revision)
  redis.call('XADD', stream, 'MAXLEN', '~', ARGV[4], epoch .. '-' .. whole(number), unpack(fields))
end
"""
    + _CODA
    + "return {number, revision}"
)
_NEXT = (
    _PRELUDE
    + """
if ARGV[2] ~= epoch then return -1 end
revision = revision + 1
"""
    + _CODA
    + "return revision"
)


class Missed(Exception):
    """Changes were missed for good."""


class Joined(Struct):
    """The stream as it was found: its end, the revision in force, whether something before was missed."""

    end: Position
    revision: int
    missed: bool


class Message(Struct):
    """One message. `change` None: it is of a later Weir."""

    position: Position
    node: str
    revision: int
    change: Change | None


class RedisStream:
    """All of it raises what redis-py raises. `writer` has short deadlines, `reader` waits for messages."""

    def __init__(self, writer: Redis, reader: Redis, name: str, *, length: int) -> None:
        self._reader = reader
        self._stream = f"{{{name}}}:changes"
        self._keys = [f"{{{name}}}:counters", self._stream]
        self._length = length
        self._join, self._tell, self._next = (writer.register_script(text) for text in (_JOIN, _TELL, _NEXT))

    async def join(self, position: Position | None, revision: int, *, missed: bool) -> Joined:
        """Find out whether all after `position` is there. None: nothing was read before."""
        read = ["", 0] if position is None else [position.epoch, position.number]
        epoch, number, revision, gap = await self._join(keys=self._keys, args=[revision, *read, int(missed)])
        return Joined(Position(epoch, number), revision, bool(gap))

    async def tell(self, parcels: list[Parcel], node: str, epoch: int, revision: int) -> int:
        """Append them; returns the revision in force. Raises Missed where the epoch is another."""
        args: list[Any] = [revision, epoch, node, self._length]
        for parcel in parcels:
            args += [int(isinstance(parcel.change, Invalidated) and not parcel.numbered), parcel.data]
        number, revision = await self._tell(keys=self._keys, args=args)
        if number < 0:
            raise Missed
        return int(revision)

    async def next_revision(self, epoch: int, revision: int) -> int:
        """Raises Missed where the epoch is another."""
        given = int(await self._next(keys=self._keys, args=[revision, epoch]))
        if given < 0:
            raise Missed
        return given

    async def read(self, position: Position, most: int, wait_ms: int) -> list[Message]:
        """What follows `position`, as soon as there is any, or nothing after `wait_ms`."""
        reply: Any = await self._reader.xread({self._stream: str(position)}, count=most, block=wait_ms)
        if not reply:
            return []
        messages = next(iter(reply.values()))[0] if isinstance(reply, dict) else reply[0][1]
        return [_message(message_id, fields) for message_id, fields in messages]


def _message(message_id: bytes, fields: dict[bytes, bytes]) -> Message:
    change: Change | None = None
    try:
        change = decode(fields[b"c"])
        if b"v" in fields and isinstance(change, Invalidated):
            change.revision = int(fields[b"v"])
    except (msgspec.DecodeError, KeyError):
        change = None
    return Message(
        position=Position.parse(message_id.decode()),
        node=fields.get(b"n", b"").decode(errors="replace"),
        revision=int(fields.get(b"r", b"0")),
        change=change,
    )
