-- Reserves units for an account, or says why not.
-- ARGV: token, account, item, units, units per account, ms the reservation lasts
-- Reply: {reason, seq, units free, units pending, units the account has bought}, the reason
--   spelled as in package gate; {'not_loaded'}
-- Run twice: the second run finds the token and replies what became of it.

local token, account, item = ARGV[1], ARGV[2], ARGV[3]
local units, limit = tonumber(ARGV[4]), tonumber(ARGV[5])

local c = redis.call('HMGET', counts, 'seq', 'F:' .. item, 'R:' .. item, 'S:' .. item)
if not c[1] then return {'not_loaded'} end
local seq, free = tonumber(c[1]), tonumber(c[2] or 0)
local pending = tonumber(c[3] or 0) + tonumber(c[4] or 0)
local u = read(token)
local bought, open = holder(account)

local function answer(reason) return {reason, seq, free, pending, bought} end

if u then return answer(u.state == 'X' and 'reservation_expired' or 'admitted') end
if open ~= '' then return answer('order_pending') end
if bought >= limit then return answer('already_bought') end
if bought + units > limit then return answer('limit') end
if not c[2] then return answer('unknown_item') end
if free < units then return answer('sold_out') end

local deadline = now() + tonumber(ARGV[6])
redis.call('HINCRBY', counts, 'F:' .. item, -units)
redis.call('HINCRBY', counts, 'R:' .. item, units)
write(token, {state = 'R', units = units, over = 0, deadline = deadline, item = item, account = account})
redis.call('ZADD', due, ms(deadline), token)
set_holder(account, bought, token)
seq, free, pending = changed(), free - units, pending + units
return answer('admitted')
