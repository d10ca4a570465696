-- What the scripts of a ledger share; put in front of each of them.
--
-- KEYS, the same five for every script, all with the ledger's hash tag:
--   1 counts     hash: seq, oversold, and of each item L:item loaded, F: free, R: reserved,
--                S: sending, H: held, B: sold, W: withdrawn (units)
--   2 tokens     hash: token (hex) -> "STATE UNITS OVER DEADLINE LENGTH ITEMACCOUNT"
--                STATE is R, S, H, B as above or X cancelled; OVER are units sold that were
--                not there; DEADLINE is in ms, with R and S; LENGTH is the item's, in bytes
--   3 accounts   hash: account -> "BOUGHT:TOKEN", the token being the open one, or empty
--   4 due        sorted set: token -> DEADLINE, with R and S
--   5 cancelled  sorted set: token -> ms when its X may be forgotten
--
-- Scripts do not roll back: each reads and checks first and writes last.

local counts, tokens, accounts, due, cancelled = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function ms(n) return string.format('%.0f', n) end

local function read(token)
  local record = redis.call('HGET', tokens, token)
  if not record then return nil end
  local state, units, over, deadline, length, rest =
    string.match(record, '^(%u) (%d+) (%d+) (%d+) (%d+) (.*)$')
  length = tonumber(length)
  return {
    state = state, units = tonumber(units), over = tonumber(over), deadline = tonumber(deadline),
    item = string.sub(rest, 1, length), account = string.sub(rest, length + 1),
  }
end

local function write(token, u)
  redis.call('HSET', tokens, token, string.format('%s %d %d %s %d ', u.state, u.units, u.over,
    ms(u.deadline), #u.item) .. u.item .. u.account)
end

-- holder returns the units an account has bought, and its open token or ''.
local function holder(account)
  local h = redis.call('HGET', accounts, account)
  if not h then return 0, '' end
  local bought, open = string.match(h, '^(%d+):(%x*)$')
  return tonumber(bought), open
end

local function set_holder(account, bought, open)
  if bought == 0 and open == '' then
    redis.call('HDEL', accounts, account)
  else
    redis.call('HSET', accounts, account, bought .. ':' .. open)
  end
end

-- move takes an open token to another state; X gives its units back.
local function move(token, u, to, deadline)
  redis.call('HINCRBY', counts, u.state .. ':' .. u.item, -u.units)
  redis.call('HINCRBY', counts, (to == 'X' and 'F' or to) .. ':' .. u.item, u.units)
  u.state, u.deadline = to, deadline
  write(token, u)
  if to == 'S' then
    redis.call('ZADD', due, ms(deadline), token)
  else
    redis.call('ZREM', due, token)
  end
end

local function forget_at(token, at) redis.call('ZADD', cancelled, ms(at), token) end

local function changed() return redis.call('HINCRBY', counts, 'seq', 1) end
