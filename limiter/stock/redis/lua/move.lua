-- How a ledger's tokens move, and how all that has changed is written at the end.

local REMEMBERED = 600000 -- ms, as stock.Remembered
local pack_text, scores = cmsgpack.pack, {}
local touched, noted, refs = {}, {}, {} -- tokens, accounts and references to write

-- terms are all of the ledger's; most calls need one only.
local function terms()
  if not head.reserve_for then
    local reserve, sending, unknown, after, steps = match(head.terms, '^%d+ (%d+) (%d+) (%u) (%d+) (%d)$')
    head.reserve_for, head.sending_for = tonumber(reserve), tonumber(sending)
    head.unknown, head.unknown_after, head.steps = unknown, tonumber(after), steps == '1'
  end
  return head
end

local function text_of(u)
  return pack_text(u.state, u.units, u.over, u.due, u.changed, u.by, u.item, u.account, u.ref)
end

-- score writes a number once for all that have it, as the tokens of a batch have deadlines.
local function score(n)
  local s = scores[n]
  if not s then
    s = n == math.huge and 'inf' or format('%.0f', n)
    scores[n] = s
  end
  return s
end

-- each gives a command as many arguments as Lua can unpack at once.
local function each(command, key, list)
  for i = 1, #list, 1000 do
    call(command, key, unpack(list, i, math.min(i + 999, #list)))
  end
end

-- unseen is a token that the ledger does not know yet.
local function unseen(item, account, units)
  return {
    state = 'X', units = units, over = 0, due = 0, changed = 0, by = '', item = item, account = account, ref = '',
    was = false, rank = false, dirty = false,
  }
end

local function holder(account)
  local a = accounts[account]
  if not a then
    a = {bought = 0, open = '', lapsed = false, seq = 0, dirty = false}
    accounts[account] = a
  end
  return a
end

-- edit comes before an item's counts are changed: who only refuses reads three of them.
local function edit(item)
  edits = edits + 1
  if item.dirty then return end
  item.dirty = true
  if item.kept then
    local loaded, held, sold, withdrawn = match(item.kept, '^(%d+) %S+ %d+ %d+ (%d+) (%d+) (%d+)$')
    item.L, item.H, item.B, item.W = tonumber(loaded), tonumber(held), tonumber(sold), tonumber(withdrawn)
  end
end

local function touch(token, u)
  tokens[token] = u
  if not u.dirty then
    u.dirty = true
    touched[#touched + 1] = token
  end
end

-- note: what the account holds has changed.
local function note(account, a)
  head.seq = head.seq + 1
  a.seq = head.seq
  if not a.dirty then
    a.dirty = true
    noted[#noted + 1] = account
  end
end

local function let_go(a, token)
  local left = ''
  if a.open == token then
    a.open = left
    return
  end
  for open in a.open:gmatch(TOKEN) do
    if open ~= token then left = left .. open end
  end
  a.open = left
end

-- move takes a token to another state, with its units and all that goes by it.
local function move(token, u, to, due)
  local from = u.state
  u.state, u.due, u.changed = to, due, now()
  touch(token, u)
  if u.account == '' then return end
  local item = items[u.item]
  local out, into = OPEN[from] and from or 'F', (OPEN[to] or to == 'B') and to or 'F'
  edit(item)
  item[out] = item[out] - u.units
  item[into] = item[into] + u.units
  if OPEN[from] == OPEN[to] and to ~= 'B' then return end
  local a = holder(u.account)
  if to == 'B' then a.bought = a.bought + u.units + u.over end
  if OPEN[from] and not OPEN[to] then let_go(a, token) end
  if OPEN[to] and not OPEN[from] then
    a.open = a.open .. token
    a.lapsed = false
  end
  note(u.account, a)
end

-- oversell counts units that were sold and not there.
local function oversell(units)
  head.oversold = (head.oversold or tonumber(call('HGET', head_key, 'oversold'))) + units
end

-- bury remembers a token that was never seen.
local function bury(token, state)
  move(token, unseen('', '', 0), state, 0)
end

-- release gives an open token's units back. lost: its account will hear of it.
local function release(token, u, lost)
  move(token, u, 'X', 0)
  if lost and terms().steps then
    local a = holder(u.account)
    a.lapsed = a.open == ''
  end
end

-- held_until is when the sweep comes to a token held since now; 0: never.
local function held_until()
  local t = terms()
  if t.unknown == 'F' then return now() + t.unknown_after end
  if t.unknown == 'R' then return now() end
  return 0
end

local function sent_by(token, u)
  return u.by == '=' and token or u.by
end

local function set_by(token, u, by)
  u.by = by == token and '=' or by
end

local function set_ref(token, u, ref)
  if ref ~= '' and u.ref == '' then
    u.ref = ref
    touch(token, u)
    refs[#refs + 1] = ref
    refs[#refs + 1] = token
  end
end

-- write is the end of every script that has changed something. A deadline that has become
-- later is left to the sweep, which comes too early then and puts it right: most tokens are
-- started and sold before that. One that is there no more is not: other terms may give the
-- token another.
local function write()
  if edits == 0 and #touched == 0 then return end
  local set = {'seq', head.seq}
  if head.oversold then set = {'seq', head.seq, 'oversold', head.oversold} end
  for name, c in pairs(items) do
    if c.dirty then
      set[#set + 1] = ':' .. name
      set[#set + 1] = format('%d %d %d %d %d %d %d', c.L, c.F, c.R, c.S, c.H, c.B, c.W)
    end
  end
  each('HSET', head_key, set)

  local due, done, cancelled, back = {}, {}, {}, {}
  set = {}
  for _, token in ipairs(touched) do
    local u = tokens[token]
    local at, s, n = rank(u), u.state, #set
    set[n + 1], set[n + 2] = token, text_of(u)
    if at and (not u.rank or at < u.rank or at == math.huge and u.rank ~= at) then
      n = #due
      due[n + 1], due[n + 2] = score(at), token
    elseif OPEN[u.was] and not at then
      done[#done + 1] = token
    end
    if (s == 'X' or s == 'A') and s ~= u.was then
      n = #cancelled
      cancelled[n + 1], cancelled[n + 2] = score(u.changed + REMEMBERED), token
    elseif u.was == 'X' and s ~= 'X' then
      back[#back + 1] = token
    end
  end
  each('HSET', tokens_key, set)
  each('ZADD', due_key, due)
  each('ZREM', due_key, done)
  each('ZADD', cancelled_key, cancelled)
  each('ZREM', cancelled_key, back)

  local delete, changes, gone = {}, {}, {}
  set = {}
  for _, account in ipairs(noted) do
    local a = accounts[account]
    local nothing, n = a.bought == 0 and a.open == '', #changes
    changes[n + 1], changes[n + 2] = a.seq, account
    if nothing and not a.lapsed then
      delete[#delete + 1] = account
    else
      n = #set
      set[n + 1], set[n + 2] = account, a.bought .. (a.lapsed and '!' or ':') .. a.open
    end
    if nothing then
      n = #gone
      gone[n + 1], gone[n + 2] = score(now() + REMEMBERED), account
    end
  end
  each('HSET', accounts_key, set)
  each('HDEL', accounts_key, delete)
  each('ZADD', changes_key, changes)
  each('ZADD', gone_key, gone)
  each('HSET', refs_key, refs)
end
