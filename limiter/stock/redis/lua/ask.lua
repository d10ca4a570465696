-- Settlements, starts and decisions that came while another batch was under way. They came
-- at the same time, so any order of them is a true one: settlements go first, because they
-- give units back, and one that cancels a call must come before the call.
--
-- ARGV: how many settle as sold, free, unsent, unknown, how many starts, how many orders; then
--   settlement  token, or where it is another's or has a reference: token, by (or 32 '-') and
--               reference in one
--   start       token, or token and by in one
--   order       account
--   decisions   item, units, how many; then token, account of each
-- Reply: '' the ledger is not loaded; else the epoch and the seq as they were before, and
--   one line for each, in that order:
--   settlement  K done, B sold already, O oversold, J the token is an adjustment's
--   start       a letter of a reason
--   order, decision  a letter, units free, pending, seq, units bought; an order found adds
--               the token and its units. A letter alone: as the line before, and nothing
--               bought; small a: admitted, and so many units and one seq further
--   Where orders are found it is a list: that text, then the items of these orders.
-- Run twice: each of them finds its token as the first run left it, and replies the same.
--
-- Reasons: A admitted, E expired, N expired and a stranger, P pending, B bought, L limit,
--   F frozen, U paused, C closed, I no such item, S sold out.

local sold_at = 7
local free_at = sold_at + ARGV[1]
local unsent_at = free_at + ARGV[2]
local unknown_at = unsent_at + ARGV[3]
local start_at = unknown_at + ARGV[4]
local order_at = start_at + ARGV[5]
local decide_at = order_at + ARGV[6]
local last = #ARGV

-- reading

local wanted, whose = {}, {}
local what, listed = {}, {}
local function add_item(name)
  if not listed[name] then
    listed[name] = true
    what[#what + 1] = name
  end
end

-- split reads what most have as the token alone.
local function split(text)
  if #text == 32 then return text, text, '' end
  local by = text:sub(33, 64)
  if by:byte() == 45 then by = '' end
  return text:sub(1, 32), by, text:sub(65)
end

local settling
for i = sold_at, order_at - 1 do
  if i == start_at then settling = #wanted end
  local token, by = split(ARGV[i])
  wanted[#wanted + 1] = token
  if by ~= token and by ~= '' then wanted[#wanted + 1] = by end
end
local moving = #wanted
settling = settling or moving
local i = decide_at
while i <= last do
  add_item(ARGV[i])
  local stop = i + 2 + 2 * ARGV[i + 2]
  for j = i + 3, stop, 2 do
    wanted[#wanted + 1] = ARGV[j]
    whose[#whose + 1] = ARGV[j + 1]
  end
  i = stop + 1
end
read_tokens(wanted)
for i = 1, moving do
  local u = tokens[wanted[i]]
  if u and u.account ~= '' then
    if i <= settling then whose[#whose + 1] = u.account end -- a start changes no account
    add_item(u.item)
  end
end
for i = order_at, decide_at - 1 do whose[#whose + 1] = ARGV[i] end
read_accounts(whose)
if decide_at > order_at then
  local open = {}
  for i = order_at, decide_at - 1 do
    local a = accounts[ARGV[i]]
    for token in (a and a.open or ''):gmatch(TOKEN) do open[#open + 1] = token end
  end
  read_tokens(open)
  for _, token in ipairs(open) do add_item(tokens[token].item) end
end
if not read_head(what) then return '' end

-- refusing

-- line adds to a letter how things stand, unless the line before has said it.
local nowhere, before, at_edit = {}, nil, 0
local function line(letter, item, bought)
  local c = item or nowhere
  if before == c and at_edit == edits and bought == 0 then return letter end
  before, at_edit = c, edits
  return letter .. ' ' .. (c.F or 0) .. ' ' .. (c.R and c.R + c.S or 0) .. ' ' .. head.seq .. ' ' .. bought
end

local function order(account, found)
  local a = accounts[account] or {bought = 0, open = '', lapsed = false}
  if head.frozen then return line('F', nil, a.bought) end
  if a.open == '' then
    if a.bought > 0 then return line('B', nil, a.bought) end
    local letter = 'N'
    if a.lapsed then letter = 'E' end -- guard: lapsed account
    return line(letter, nil, a.bought)
  end
  local token = a.open:sub(1, 32)
  local u = tokens[token]
  if u.state ~= 'R' then return line('P', nil, a.bought) end
  if u.due <= now() then return line('E', nil, a.bought) end
  found[#found + 1] = u.item
  before = nil -- what follows the numbers needs them
  return line('A', items[u.item], a.bought) .. ' ' .. token .. ' ' .. u.units
end

local function judge(token, account, item, units)
  local u, a = tokens[token], accounts[account]
  local bought = a and a.bought or 0
  if u and (u.state == 'X' or u.state == 'A') then return 'E', bought end -- guard: tombstone
  if u and u.state ~= 'X' then return 'A', bought end -- guard: token replay
  if a and a.open ~= '' then return 'P', bought end -- guard: open token
  if bought >= head.per_account then return 'B', bought end
  if bought + units > head.per_account then return 'L', bought end
  if head.frozen then return 'F', bought end
  if not head.open then return head.paused and 'U' or 'C', bought end
  if not item then return 'I', bought end
  if item.F < units then return 'S', bought end
  return nil, bought
end

-- reply is what the call ends with.
local function reply(out, found)
  out = table.concat(out, '\n')
  if #found == 0 then return out end
  return {out, unpack(found)}
end

-- Where all are refused that is all there is to do, and most batches of a sale are so. The
-- functions that come after this are not even made: that takes longer than to refuse.
local function refused()
  local out, found = {head.epoch .. ' ' .. head.seq}, {}
  for i = order_at, decide_at - 1 do out[#out + 1] = order(ARGV[i], found) end
  local i = decide_at
  while i <= last do
    local item, units, stop = items[ARGV[i]], tonumber(ARGV[i + 1]), i + 2 + 2 * ARGV[i + 2]
    for j = i + 3, stop, 2 do
      local letter, bought = judge(ARGV[j], ARGV[j + 1], item, units)
      if not letter then return nil end
      out[#out + 1] = line(letter, item, bought)
    end
    i = stop + 1
  end
  return reply(out, found)
end

if order_at == sold_at then
  local all = refused()
  if all then return all end
  before = nil
end
