-- The rest of a batch: ask.lua says what it is given and replies. move.lua stands between.

-- Functions are made only for a batch that needs them.
local settle, start

if start_at > sold_at then
  local function another(token, u, by)
    return u.state == 'S' and by ~= '' and by ~= sent_by(token, u)
  end

  -- sell_late books an order that went through after its units were given back. Of a token
  -- never seen nobody knows the account: it counts as one unit that was not there.
  local function sell_late(token, u)
    local asked = math.max(u.units, 1)
    u.units = 0
    if u.account ~= '' then u.units = math.min(asked, math.max(items[u.item].F, 0)) end
    u.over = asked - u.units
    oversell(u.over)
    move(token, u, 'B', 0)
  end

  local function sold(token, ref)
    if not tokens[token] then bury(token, 'X') end
    local u = tokens[token]
    if u.state == 'X' then sell_late(token, u) end
    if OPEN[u.state] then move(token, u, 'B', 0) end
    set_ref(token, u, ref)
    return u.over > 0 and 'O' or 'K'
  end

  local function free(token, by, lost)
    local u = tokens[token]
    if not u then
      bury(token, 'X') -- guard: tombstone
      return 'K'
    end
    if u.state == 'B' then return 'B' end
    if OPEN[u.state] and not another(token, u, by) then release(token, u, lost) end
    return 'K'
  end

  local function unsent(token, by)
    local u = tokens[token]
    if not tokens[by] then
      bury(by, 'X') -- guard: tombstone
    end
    if u and (u.state == 'S' or u.state == 'H') and sent_by(token, u) == by then
      u.by = ''
      move(token, u, 'R', now() + terms().reserve_for)
    end
    return 'K'
  end

  local function unknown(token, by)
    local u = tokens[token]
    if u and (u.state == 'R' or u.state == 'S') and not another(token, u, by) then
      move(token, u, 'H', held_until())
    end
    return 'K'
  end

  function settle(token, by, word, ref)
    local u = tokens[token]
    if u and u.state == 'A' then return 'J' end
    if word == 'sold' then return sold(token, ref) end
    if word == 'unknown' then return unknown(token, by) end
    if word == 'unsent' and by ~= '' and by ~= token then return unsent(token, by) end
    return free(token, by, word == 'free')
  end
end

if order_at > start_at then
  function start(token, by)
    local u, launch = tokens[token], tokens[by]
    if not u or u.state == 'A' then return 'E' end
    if launch and launch.state == 'X' and by ~= token then return 'E' end -- guard: tombstone
    if u.state == 'X' or u.state == 'R' and u.due <= now() then return 'E' end -- guard: start fence
    if u.state == 'S' then return sent_by(token, u) == by and 'A' or 'P' end
    if u.state == 'H' then return 'P' end
    if u.state == 'B' then return 'B' end
    if head.frozen then return 'F' end
    set_by(token, u, by)
    move(token, u, 'S', now() + terms().sending_for)
    return 'A'
  end
end

-- deciding

local function decide(token, account, name, units)
  local item = items[name]
  local letter, bought = judge(token, account, item, units)
  if letter then return line(letter, item, bought) end
  local short = before == item and at_edit == edits and bought == 0
  move(token, unseen(name, account, units), 'R', now() + terms().reserve_for)
  if not short then return line('A', item, bought) end
  at_edit = edits
  return 'a'
end

local out, found = {head.epoch .. ' ' .. head.seq}, {}
local function settle_all(from, to, word)
  for i = from, to - 1 do
    local token, by, ref = split(ARGV[i])
    out[#out + 1] = settle(token, by, word, ref)
  end
end
settle_all(sold_at, free_at, 'sold')
settle_all(free_at, unsent_at, 'free')
settle_all(unsent_at, unknown_at, 'unsent')
settle_all(unknown_at, start_at, 'unknown')
for i = start_at, order_at - 1 do out[#out + 1] = start(split(ARGV[i])) end
for i = order_at, decide_at - 1 do out[#out + 1] = order(ARGV[i], found) end
local i = decide_at
while i <= last do
  local name, units, stop = ARGV[i], tonumber(ARGV[i + 1]), i + 2 + 2 * ARGV[i + 2]
  for j = i + 3, stop, 2 do out[#out + 1] = decide(ARGV[j], ARGV[j + 1], name, units) end
  i = stop + 1
end
write()
return reply(out, found)
