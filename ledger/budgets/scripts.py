"""The scripts that count in Redis. Each is atomic; none knows the calendar, all go by the clock of Redis.

An account in one window is a hash: `spent`, `h:NODE` what requests of a process hold, `w:...` what was alerted.
A process is a node as long as its lease in the sorted set of nodes lasts; what a dead one held is dropped by
whoever looks next. A request is a hash that lives for a while: for each model the node that holds its part, `@`
once it was admitted, `over` once it was settled. So whatever is sent again counts once, and what arrives after
the end not at all.

The non-obvious decision: an account's window is worked out by the caller and checked here by the clock of
Redis. A caller whose clock is wrong is told the time and asks again, so that all replicas are always in the
same window.
"""

from __future__ import annotations

_PRELUDE = """
local whole = function(number) return string.format('%.0f', number) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {'lost', now} end
local keep = function(key, until_ms)
  if until_ms ~= '0' then redis.call('PEXPIREAT', key, until_ms) end
end
local add = function(account, index, field, amount, until_ms, values)
  redis.call('HINCRBY', account, field, amount)
  redis.call('SADD', index, values)
  keep(account, until_ms)
  keep(index, until_ms)
end
"""

JOIN = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('GET', KEYS[1])
if not epoch then
  epoch = string.format('%.0f', now) .. '-' .. ARGV[1]
  redis.call('SET', KEYS[1], epoch)
end
local died = 0
local lease = redis.call('ZSCORE', KEYS[2], ARGV[1])
local alive = lease and tonumber(lease) > now
if ARGV[3] == '1' or alive then
  redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[1])
  alive = true
  died = redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  for i = 3, #KEYS do redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
end
return {epoch, now, alive and 1 or 0, died}
"""
"""KEYS epoch, nodes, markers; ARGV node, lease in ms, whether it is new. A lease that has ended is not renewed."""

TAKE = (
    _PRELUDE
    + """
local nodes, request = KEYS[2], KEYS[3]
local node, field, counts, refuses = ARGV[2], ARGV[3], ARGV[4] == '1', ARGV[5] == '1'
local lease = redis.call('ZSCORE', nodes, node)
if not lease or tonumber(lease) <= now then return {'gone', now} end
local alive = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', nodes, '(' .. whole(now), '+inf')) do
  alive['h:' .. name] = true
end
local again = redis.call('HEXISTS', request, field) == 1 or redis.call('HEXISTS', request, 'over') == 1
local reply, count = {'taken', now}, (#ARGV - 6) / 7
for i = 1, count do
  local at = 6 + (i - 1) * 7
  local amount, limit, kind = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3]
  local begin, finish = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  if now < begin or (finish > 0 and now >= finish) then return {'turned', now} end
  local account, marker = KEYS[1 + 3 * i], KEYS[3 + 3 * i]
  local spent, held, all = 0, 0, redis.call('HGETALL', account)
  for j = 1, #all, 2 do
    if all[j] == 'spent' then
      spent = tonumber(all[j + 1])
    elseif alive[all[j]] then
      held = held + tonumber(all[j + 1])
    elseif string.sub(all[j], 1, 2) == 'h:' then
      redis.call('HDEL', account, all[j])
    end
  end
  if not again and kind ~= 'soft' and amount > 0 then
    if refuses and kind ~= 'unmarked' then
      local since = redis.call('GET', marker)
      if not since or tonumber(since) > begin then return {'unknown', now, i} end
    end
    if spent + held + amount > limit then return {'refused', now, i, spent, held} end
  end
  if again then amount = 0 end
  reply[#reply + 1] = spent + (counts and amount or 0)
  reply[#reply + 1] = held + (counts and 0 or amount)
end
if again then return reply end
for i = 1, count do
  local at = 6 + (i - 1) * 7
  if ARGV[at + 1] ~= '0' then
    local kept = counts and 'spent' or 'h:' .. node
    add(KEYS[1 + 3 * i], KEYS[2 + 3 * i], kept, ARGV[at + 1], ARGV[at + 6], ARGV[at + 7])
  end
end
redis.call('HSET', request, field, node)
if not counts or redis.call('PTTL', request) < 0 then redis.call('PEXPIRE', request, ARGV[6]) end
return reply
"""
)
"""KEYS epoch, nodes, request, then for each account: itself, its index, the marker that all of it is counted.
ARGV epoch, node, field, whether it is spent at once (or held), whether to refuse without a marker, how long the
request is remembered in ms; then for each account: amount, limit, kind (soft, hard, or unmarked: hard, and needs no
marker), begin and end of its window in ms, until when it is kept in ms (0: for good), its values."""

SETTLE = (
    _PRELUDE
    + """
local fresh = tonumber(ARGV[2]) > tonumber(redis.call('GET', KEYS[2]) or '0')
local reply = {'done', now}
for _, one in ipairs(cjson.decode(ARGV[4])) do
  local request, lines = KEYS[one[1]], one[2]
  local over = redis.call('HEXISTS', request, 'over') == 1
  local fields = {}
  for _, line in ipairs(lines) do
    local account, index, field, release, spent, until_ms, values, once = KEYS[line[1]], KEYS[line[2]], line[3],
      line[4], line[5], line[6], line[7], line[8]
    local node = redis.call('HGET', request, field)
    if fresh then
      if node and release ~= '0' and redis.call('HEXISTS', account, 'h:' .. node) == 1 then
        if redis.call('HINCRBY', account, 'h:' .. node, '-' .. release) <= 0 then
          redis.call('HDEL', account, 'h:' .. node)
        end
      end
      if not over and spent ~= '0' and not (once == '1' and node) then
        add(account, index, 'spent', spent, until_ms, values)
      end
      if release ~= '0' then fields[#fields + 1] = field end
    end
    reply[#reply + 1] = tonumber(redis.call('HGET', account, 'spent') or '0')
  end
  if fresh then
    if #fields > 0 then redis.call('HDEL', request, unpack(fields)) end
    redis.call('HSET', request, 'over', '1')
    redis.call('PEXPIRE', request, ARGV[3])
  end
end
if fresh then redis.call('SET', KEYS[2], ARGV[2], 'PX', 86400000) end
return reply
"""
)
"""KEYS epoch, number, then whatever ARGV names by its place. ARGV epoch, the number of this batch (one that was
taken is not taken again), how long a request is remembered in ms, JSON of [request, [[account, index, field, what
is given back, what was spent, kept until, values, only where not counted when admitted], ...]]; amounts are text,
since cjson would write large ones with an exponent."""

HOLD = (
    _PRELUDE
    + """
for _, one in ipairs(cjson.decode(ARGV[4])) do
  local request, field = KEYS[one[1]], one[2]
  local held = redis.call('HGET', request, field) == ARGV[2] or redis.call('HEXISTS', request, 'over') == 1
  if not held then
    for _, line in ipairs(one[3]) do
      add(KEYS[line[1]], KEYS[line[2]], 'h:' .. ARGV[2], line[3], line[4], line[5])
    end
    redis.call('HSET', request, field, ARGV[2])
    redis.call('PEXPIRE', request, ARGV[3])
  end
end
return {'done', now}
"""
)
"""What a node that lost its lease still holds, under its new name, whatever the limit. ARGV epoch, node, how long a
request is remembered, JSON of [request, field, [[account, index, amount, kept until, values], ...]]."""

SEED = (
    _PRELUDE
    + """
local since = redis.call('GET', KEYS[2])
local known = since and tonumber(since) <= tonumber(ARGV[2])
if known and ARGV[5] ~= '1' then return {'done', now} end
if (redis.call('GET', KEYS[4]) or '0') ~= ARGV[6] then return {'turned', now} end
redis.call('INCR', KEYS[4])
redis.call('PEXPIRE', KEYS[4], 86400000)
for _, line in ipairs(cjson.decode(ARGV[7])) do
  add(KEYS[line[1]], KEYS[3], 'spent', line[2], ARGV[4], line[3])
end
if not known then redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3]) end
local reply = {'done', now}
for i = 5, #KEYS do reply[#reply + 1] = tonumber(redis.call('HGET', KEYS[i], 'spent') or '0') end
return reply
"""
)
"""KEYS epoch, marker, index, number of times this was done, accounts. ARGV epoch, begin of the window in ms, lease
in ms, kept until, whether to add though it is marked, that number as it was before anything was read (another
process that did the same meanwhile has added the same amounts), JSON of [account, amount, values]."""

TELL = (
    _PRELUDE
    + """
if redis.call('EXISTS', KEYS[2]) == 0 then return {'no', now} end
if redis.call('HSETNX', KEYS[2], ARGV[2], ARGV[3]) == 1 then return {'yes', now} end
return {redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[3] and 'yes' or 'no', now}
"""
)
"""Whether it falls to this process to alert. KEYS epoch, account; ARGV epoch, field, process."""

LEAVE = "return redis.call('ZREM', KEYS[2], ARGV[2])"

READ = (
    _PRELUDE
    + """
local alive = {}
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. whole(now), '+inf')) do
  alive['h:' .. name] = true
end
local reply = {'done', now}
for i = 3, #KEYS do
  local spent, held, all = 0, 0, redis.call('HGETALL', KEYS[i])
  for j = 1, #all, 2 do
    if all[j] == 'spent' then spent = tonumber(all[j + 1]) end
    if alive[all[j]] then held = held + tonumber(all[j + 1]) end
  end
  reply[#reply + 1] = spent
  reply[#reply + 1] = held
end
return reply
"""
)
"""KEYS epoch, nodes, accounts. What is spent and held in each."""
