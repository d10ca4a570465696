-- How a ledger is kept; put in front of every script.
--
-- KEYS, the same ten for every script, all with the ledger's hash tag:
--   1 head       hash: epoch, seq, oversold, state, freeze (0: none), frozen (the last
--                freeze's number), since (its ms), after (the epoch of the archived ledger
--                that had the name before, or 0), terms (as Go writes them), and of each
--                item ":item" -> "LOADED FREE RESERVED SENDING HELD SOLD WITHDRAWN" (units).
--                Of an archived ledger only: archived (its epoch)
--   2 tokens     hash: token (hex) -> STATE UNITS OVER DUE CHANGED BY ITEM ACCOUNT REF in
--                MessagePack, which Lua reads four times as fast as text. STATE is as
--                stock.Stage; BY is hex, '=' the token itself, '' nobody
--   3 accounts   hash: account -> "BOUGHT:OPEN", OPEN being its open tokens (one, unless
--                gateways asserted more); with '!' for ':' it has lost a reservation
--   4 due        sorted set: open token -> when the sweep looks at it: at DUE or before, in ms;
--                inf for held ones without
--   5 cancelled  sorted set: token in X or A -> ms when it may be forgotten
--   6 changes    sorted set: account -> seq of its last change
--   7 gone       sorted set: account that held nothing -> ms when it may leave changes
--   8 refs       hash: reference -> token
--   9 alive      sorted set: gateway -> ms of its last sweep
--  10 told       set: gateways that have told all since the freeze
--
-- Scripts do not roll back. So each reads first (read_...), then changes tables only, and
-- writes last (write), with commands that fail for no data that the reads have accepted.

local call, match, format, floor = redis.call, string.match, string.format, math.floor
local unpack_text = cmsgpack.unpack
local head_key, tokens_key, accounts_key, due_key, cancelled_key = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local changes_key, gone_key, refs_key, alive_key, told_key = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]

local TOKEN = ('%x'):rep(32)
local OPEN = {R = true, S = true, H = true}

local head                                -- nil: not loaded
local items, tokens, accounts = {}, {}, {} -- what was read, and what became of it
local edits = 0                            -- changes of items
local clock

local function now()
  if not clock then
    local t = call('TIME')
    clock = t[1] * 1000 + floor(t[2] / 1000)
  end
  return clock
end

local function values(key, names)
  if #names <= 1000 then return call('HMGET', key, unpack(names)) end
  local all = {}
  for i = 1, #names, 1000 do
    local last = math.min(i + 999, #names)
    local some = call('HMGET', key, unpack(names, i, last))
    for j = i, last do all[j] = some[j - i + 1] end
  end
  return all
end

-- rank is a token's place in the index of deadlines, false where it has none.
local function rank(u)
  return OPEN[u.state] and (u.due > 0 and u.due or math.huge) or false
end

local function token_of(text)
  local state, units, over, due, changed, by, item, account, ref = unpack_text(text)
  local u = {
    state = state, units = units, over = over, due = due, changed = changed, by = by, item = item,
    account = account, ref = ref, was = state, rank = false, dirty = false,
  }
  u.rank = rank(u)
  return u
end

local function read_tokens(names)
  if #names == 0 then return end
  local texts = values(tokens_key, names)
  for i = 1, #names do
    if texts[i] then tokens[names[i]] = token_of(texts[i]) end
  end
end

local function read_accounts(names)
  if #names == 0 then return end
  local texts = values(accounts_key, names)
  for i = 1, #names do
    if texts[i] then
      local bought, mark, open = match(texts[i], '^(%d+)([:!])(%x*)$')
      accounts[names[i]] = {bought = tonumber(bought), open = open, lapsed = mark == '!', seq = 0, dirty = false}
    end
  end
end

-- read_head reads the head, with these items. Without a head nothing is known: no count
-- may be taken for zero.
local function read_head(names)
  local fields = {'seq', 'epoch', 'state', 'freeze', 'terms'}
  for i = 1, #names do fields[5 + i] = ':' .. names[i] end
  local v = values(head_key, fields)
  if not v[1] then return false end
  head = {
    seq = tonumber(v[1]), epoch = v[2], open = v[3] == 'O', paused = v[3] == 'P', frozen = v[4] ~= '0', freeze = v[4],
    terms = v[5], per_account = tonumber(match(v[5], '^%d+')),
  }
  for i = 1, #names do
    if v[5 + i] then
      local free, reserved, sending = match(v[5 + i], '^%d+ (%-?%d+) (%d+) (%d+) ')
      items[names[i]] = {
        F = tonumber(free), R = tonumber(reserved), S = tonumber(sending), kept = v[5 + i], dirty = false,
      }
    end
  end
  return true
end
