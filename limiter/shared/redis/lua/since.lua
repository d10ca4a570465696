-- Tells what has become of the notes.
-- KEYS: head, notes, revs
-- ARGV: the epoch and the number that the caller has read as far as, the most notes
-- Reply: epoch, number read as far as now, 1 if there is more, 1 if the caller's place is not
-- known here and all is told from the beginning; then subjects and records
-- Run twice: writes nothing.

local h = redis.call('HMGET', KEYS[1], 'epoch', 'n')
local epoch, n = h[1] or '', tonumber(h[2] or 0)
local from, whole = tonumber(ARGV[2]), 0
if epoch ~= ARGV[1] or from > n or epoch == '' then from, whole = 0, 1 end
if from == n then return { epoch, n, 0, whole } end

local most = tonumber(ARGV[3])
local found = redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. string.format('%.0f', from), '+inf', 'WITHSCORES', 'LIMIT', 0, most + 1)
local reply = { epoch, n, 0, whole }
for i = 1, #found, 2 do
  if i > 2 * most then
    reply[2], reply[3] = tonumber(found[i - 1]), 1
    break
  end
  local record = redis.call('HGET', KEYS[2], found[i])
  if record then
    reply[#reply + 1] = found[i]
    reply[#reply + 1] = record
  end
end
return reply
