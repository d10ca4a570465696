-- One decision that came alone, by a token and for an account of which the ledger knows
-- nothing, as nearly all are. What batch.lua does for it at a third of the time: nothing is
-- looked at but this, and no function is made. In any other case nothing is done.
--
-- KEYS: as record.lua says, which is not put in front of this one
-- ARGV: token, account, item, units
-- Reply: 0 it is for batch.lua; else as batch.lua replies
-- Run twice: the second run finds the token, which is for batch.lua.

local h = redis.call('HMGET', KEYS[1], 'seq', 'epoch', 'state', 'freeze', 'terms', ':' .. ARGV[3])
if not h[1] then return '' end
local units = tonumber(ARGV[4])
local limit, reserve_for = string.match(h[5], '^(%d+) (%d+) ')
if h[3] ~= 'O' or h[4] ~= '0' or not h[6] or units > tonumber(limit) then return 0 end
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 or redis.call('HEXISTS', KEYS[3], ARGV[2]) == 1 then return 0 end

local loaded, free, reserved, sending, rest = string.match(h[6], '^(%d+) (%-?%d+) (%d+) (%d+) (.*)$')
local before, pending = h[2] .. ' ' .. h[1] .. '\n', reserved + sending
if tonumber(free) < units then return before .. 'S ' .. free .. ' ' .. pending .. ' ' .. h[1] .. ' 0' end

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local due, seq = now + reserve_for, h[1] + 1
redis.call('HSET', KEYS[1], 'seq', seq, ':' .. ARGV[3],
  string.format('%s %d %d %s %s', loaded, free - units, reserved + units, sending, rest))
redis.call('HSET', KEYS[2], ARGV[1], cmsgpack.pack('R', units, 0, due, now, '', ARGV[3], ARGV[2], ''))
redis.call('HSET', KEYS[3], ARGV[2], '0:' .. ARGV[1])
redis.call('ZADD', KEYS[4], string.format('%.0f', due), ARGV[1])
redis.call('ZADD', KEYS[6], seq, ARGV[2])
return before .. 'A ' .. free - units .. ' ' .. pending + units .. ' ' .. seq .. ' 0'
