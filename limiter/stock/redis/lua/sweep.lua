-- Moves what is past its deadline, and forgets what nobody can ask for any more.
-- ARGV: gateway, the most tokens to move, the most to forget
-- Reply: 'not_loaded', or {how many tokens were moved, then of each that is to be asked
--   about: token, its record}
-- Run twice: the second run moves what the first one left.

local most, forget = tonumber(ARGV[2]), tonumber(ARGV[3])
local at = now()
if not read_head({}) then return 'not_loaded' end
if head.frozen then
  call('ZADD', alive_key, at, ARGV[1])
  return {0}
end

local late = call('ZRANGEBYSCORE', due_key, '-inf', at, 'LIMIT', 0, most)
if terms().unknown ~= 'K' and #late < most then -- held while the terms were to keep them
  local parked = call('ZRANGEBYSCORE', due_key, '+inf', '+inf', 'LIMIT', 0, most - #late)
  for _, token in ipairs(parked) do late[#late + 1] = token end
end
local old = call('ZRANGEBYSCORE', cancelled_key, '-inf', at, 'LIMIT', 0, forget)
local gone = call('ZRANGEBYSCORE', gone_key, '-inf', at, 'LIMIT', 0, forget)
read_accounts(gone)
read_about(late)

-- expire takes one token on, and says whether that counts as a move.
local ask = {}
local function expire(token, u)
  u.rank = false -- where it is in the index need not be its deadline
  if u.due > at then
    touch(token, u)
    return false
  end
  local to = 'X'
  if u.state == 'S' then to = 'H' end -- guard: sending held
  if u.state == 'R' then to = 'X' end
  if u.state == 'H' then
    if terms().unknown == 'K' then
      u.due = 0
      touch(token, u)
      return false
    end
    if u.due == 0 then
      u.due = held_until()
      touch(token, u)
      if u.due > at then return false end
    end
    if terms().unknown == 'R' then
      u.due = at + terms().unknown_after
      touch(token, u)
      ask[#ask + 1] = token
      return true
    end
  end
  if to == 'X' then
    release(token, u, true)
  else
    move(token, u, to, held_until())
  end
  return true
end

local moved = 0
for _, token in ipairs(late) do
  if expire(token, tokens[token]) then moved = moved + 1 end
end
local left = {}
for _, account in ipairs(gone) do
  local a = holder(account)
  if a.bought == 0 and a.open == '' and not a.dirty then left[#left + 1] = account end
end

call('ZADD', alive_key, at, ARGV[1])
call('ZREMRANGEBYSCORE', alive_key, '-inf', at - REMEMBERED)
each('HDEL', tokens_key, old)
each('ZREM', cancelled_key, old)
each('ZREM', changes_key, left)
each('ZREM', gone_key, gone)
write()
local reply = {moved}
for _, token in ipairs(ask) do
  reply[#reply + 1] = token
  reply[#reply + 1] = text_of(tokens[token])
end
return reply
