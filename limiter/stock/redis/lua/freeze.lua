-- Freezes a ledger, or thaws it.
-- ARGV: 'freeze' | 'thaw'
-- Reply: 'not_loaded', or the number of the freeze; thawed: '0'
-- Run twice: the second run finds the ledger so and replies the same.

if not read_head({}) then return 'not_loaded' end
if ARGV[1] == 'thaw' then
  if head.frozen then call('HSET', head_key, 'freeze', 0) end
  return '0'
end
if head.frozen then return head.freeze end
-- The first number is above the epoch: no other ledger of the name had a freeze of it.
-- By the clock: a server that went back once more must not give a number twice.
local t = call('TIME')
local number = format('%.0f', math.max(tonumber(call('HGET', head_key, 'frozen')) + 1, t[1] * 1000000 + t[2]))
call('HSET', head_key, 'freeze', number, 'frozen', number, 'since', now())
call('DEL', told_key)
return number
