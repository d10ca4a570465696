-- Tells of notes.
-- KEYS: head, notes, revs, ends
-- ARGV: 'put' (whatever was told before) or 'mend' (what outdoes that), an epoch in case this
-- is the first note, the most notes, the most while they are automatic, the signal of those
-- that are not; then for each note its subject and its record, as shared.Note.Record says
-- Reply: the time of the last note told, how many notes found no room
-- Run twice: put tells the same again, a ms later; mend does nothing.

local most, automatic, hand = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local function read(record)
  local at, ends, signal, lifted, rest = string.match(record, '^(%d+) (%d+) (%d+) ([l-]) (.*)$')
  return tonumber(at), tonumber(ends), signal == hand, lifted == 'l', rest
end

-- What counts no more makes room: some of it, so that no call takes long.
local over = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now, 'LIMIT', 0, 500)
if #over > 0 then
  redis.call('HDEL', KEYS[2], unpack(over))
  redis.call('ZREM', KEYS[3], unpack(over))
  redis.call('ZREM', KEYS[4], unpack(over))
end

local count, full, told = redis.call('HLEN', KEYS[2]), 0, 0
for i = 6, #ARGV, 2 do
  local subject, record = ARGV[i], ARGV[i + 1]
  local at, ends, by_hand, lifted, rest = read(record)
  local old = redis.call('HGET', KEYS[2], subject)
  local useless = ARGV[1] == 'mend' and ends > 0 and ends <= now
  if old then
    local old_at, old_ends, old_hand, old_lifted = read(old)
    if ARGV[1] == 'mend' then
      local mine = by_hand and not lifted
      local theirs = old_hand and not old_lifted and (old_ends == 0 or old_ends > now)
      if mine and not old_hand or theirs and not by_hand then
        useless = useless or not mine
      else
        useless = useless or at <= old_at
      end
    elseif at <= old_at then
      at = old_at + 1
      record = string.format('%.0f', at) .. string.sub(record, #string.match(record, '^%d+') + 1)
    end
  end
  local room = most
  if lifted then room = 2 * most elseif not by_hand then room = automatic end
  if useless then
    told = at
  elseif not old and count >= room then
    full = full + 1
  else
    if not old then count = count + 1 end
    redis.call('HSETNX', KEYS[1], 'epoch', ARGV[2])
    local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
    redis.call('HSET', KEYS[2], subject, record)
    redis.call('ZADD', KEYS[3], n, subject)
    if ends > 0 then redis.call('ZADD', KEYS[4], ends, subject) else redis.call('ZREM', KEYS[4], subject) end
    told = at
  end
end
return { told, full }
