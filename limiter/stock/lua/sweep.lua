-- Moves what is past its deadline, reserved -> free and sending -> held, and forgets old
-- cancelled tokens; at most so many of each.
-- ARGV: the most, ms for which a cancelled token is remembered
-- Reply: how many tokens were moved; -1 the ledger is not loaded
-- Run twice: the second run moves what the first one left.

if redis.call('EXISTS', counts) == 0 then return -1 end
local at, most = now(), tonumber(ARGV[1])
local old = redis.call('ZRANGEBYSCORE', cancelled, '-inf', ms(at), 'LIMIT', 0, most)
local late = redis.call('ZRANGEBYSCORE', due, '-inf', ms(at), 'LIMIT', 0, most)

-- No two of them are of one account: all are open.
local moves = {}
for i, token in ipairs(late) do
  local u = read(token)
  local bought = holder(u.account)
  moves[i] = {u, bought}
end

for _, token in ipairs(old) do
  redis.call('HDEL', tokens, token)
  redis.call('ZREM', cancelled, token)
end
for i, token in ipairs(late) do
  local u, bought = moves[i][1], moves[i][2]
  if u.state == 'R' then
    move(token, u, 'X', 0)
    set_holder(u.account, bought, '')
    forget_at(token, at + tonumber(ARGV[2]))
  else
    move(token, u, 'H', 0)
  end
  changed()
end
return #late
