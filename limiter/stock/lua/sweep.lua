-- Moves what is past its deadline, reserved -> free and sending -> held, and forgets old
-- cancelled tokens.
-- ARGV: the most to move, ms for which a cancelled token is remembered, the most to forget
-- Reply: how many tokens were moved; -1 the ledger is not loaded
-- Run twice: the second run moves what the first one left.

if redis.call('EXISTS', counts) == 0 then return -1 end
local at, most = now(), tonumber(ARGV[1])
local old = redis.call('ZRANGEBYSCORE', cancelled, '-inf', ms(at), 'LIMIT', 0, tonumber(ARGV[3]))
local late = redis.call('ZRANGEBYSCORE', due, '-inf', ms(at), 'LIMIT', 0, most)

-- No two of them are of one account: all are open.
local moves = {}
for i, token in ipairs(late) do
  local u = read(token)
  local bought = holder(u.account)
  moves[i] = {u, bought}
end

if #old > 0 then
  redis.call('HDEL', tokens, unpack(old))
  redis.call('ZREM', cancelled, unpack(old))
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
