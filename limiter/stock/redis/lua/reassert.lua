-- Tells a frozen ledger what a gateway knows of it.
-- ARGV: gateway, freeze, '1' it has told all | '0', ms until a freeze ends, ms within which
--   a gateway counts as alive, then of each token: token, record
-- Reply: 'not_loaded', 'frozen', 'thawed'
-- Run twice: the second run finds each token at least as far as it is asserted.

local LATER = {X = 1, R = 2, S = 3, H = 4, B = 5}
local gateway, last = ARGV[1], ARGV[3] == '1'
local list, said = {}, {}
for i = 6, #ARGV, 2 do
  list[#list + 1] = ARGV[i]
  said[#said + 1] = token_of(ARGV[i + 1])
end

-- What is asserted names accounts and items that the tokens' own records need not.
read_tokens(list)
local whose, add_account = names()
local what, add_item = names()
for i, token in ipairs(list) do
  for _, u in ipairs({said[i], tokens[token]}) do
    if u.account ~= '' then
      add_account(u.account)
      add_item(u.item)
    end
  end
end
read_accounts(whose)
if not read_head(what) then return 'not_loaded' end
if head.freeze ~= ARGV[2] then return 'thawed' end
local since = tonumber(call('HGET', head_key, 'since'))

local function due_of(x)
  if not OPEN[x.state] then return 0 end
  if x.due > 0 then return x.due end
  if x.state == 'R' then return now() + terms().reserve_for end
  if x.state == 'S' then return now() + terms().sending_for end
  return held_until()
end

-- advance takes units that need not be there any more: free ones may fall below zero.
local function advance(token, u, x)
  if u.account == '' and x.account ~= '' then
    u.item, u.account, u.units = x.item, x.account, x.units
    new_item(u.item)
  end
  if x.state == 'B' then
    -- A token that was open had all its units, and keeps them.
    u.over = 0
    if not OPEN[u.state] then
      u.units, u.over = x.units, x.over
      if u.account == '' then u.units, u.over = 0, math.max(x.over, 1) end
    end
    oversell(u.over)
  end
  if x.by ~= '' then u.by = x.by end
  move(token, u, x.state, due_of(x))
  set_ref(token, u, x.ref)
end

-- complete says whose an order is of which nobody knew, and takes its units.
local function complete(token, u, x)
  oversell(-u.over)
  u.state = 'X'
  if x.state ~= 'B' then x.state, x.over = 'B', 0 end
  advance(token, u, x)
end

for i, token in ipairs(list) do
  local u, x = tokens[token], said[i]
  if not LATER[x.state] or x.account == '' and OPEN[x.state] then
    -- nothing can be made of it
  elseif not u and x.state == 'X' then
    bury(token, 'X')
  elseif not u then
    advance(token, unseen('', '', 0), x)
  elseif u.state == 'B' and u.account == '' and x.account ~= '' and x.state ~= 'X' then
    complete(token, u, x)
  elseif LATER[u.state] and LATER[x.state] > LATER[u.state] then
    advance(token, u, x)
  end
end

-- all_told: nobody is left who may know of what is lost.
local function all_told()
  if not last or now() - since < tonumber(ARGV[4]) then return false end
  for _, name in ipairs(call('ZRANGEBYSCORE', alive_key, since - tonumber(ARGV[5]), '+inf')) do
    if name ~= gateway and call('SISMEMBER', told_key, name) == 0 then return false end
  end
  return true
end

local thawed = all_told()
write()
if last then call('SADD', told_key, gateway) end
if not thawed then return 'frozen' end
call('HSET', head_key, 'freeze', 0)
return 'thawed'
