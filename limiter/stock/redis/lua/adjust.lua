-- Adds units of an item, or withdraws free ones.
-- ARGV: token, item, units to add, units to withdraw
-- Reply: 'not_loaded', 'too_few', 'order' (the token is an order's), or the item's counts
-- Run twice: the second run finds the token and replies the counts as they are.

local token, name, add, remove = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
read_tokens({token})
if not read_head({name}) then return 'not_loaded' end

local function counts()
  local c = items[name]
  if not c then return '0 0 0 0 0 0 0' end
  edit(c)
  return format('%d %d %d %d %d %d %d', c.L, c.F, c.R, c.S, c.H, c.B, c.W)
end

local u, item = tokens[token], items[name]
if u then return u.state == 'A' and counts() or 'order' end
if remove > 0 and (not item or item.F < remove) then return 'too_few' end
item = new_item(name)
edit(item)
item.L = item.L + add
item.F = item.F + add - remove
item.W = item.W + remove
bury(token, 'A')
write()
return counts()
