-- A ledger at one instant, with a page of the accounts that changed.
-- ARGV: the seq after which, the most accounts
-- Reply: {the head as a flat list, the seq up to which these are all, then account,
--   'BOUGHT:OPEN' or '' of each}; an empty list: the ledger is not loaded
-- Run twice: reads only.

if not read_head({}) then return {} end
local found = call('ZRANGEBYSCORE', changes_key, '(' .. ARGV[1], '+inf', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
local upto = head.seq
if #found == 2 * tonumber(ARGV[2]) then upto = found[#found] end
local reply, whose = {call('HGETALL', head_key), tostring(upto)}, {}
for i = 1, #found, 2 do whose[#whose + 1] = found[i] end
if #whose == 0 then return reply end
local texts = values(accounts_key, whose)
for i = 1, #whose do
  reply[#reply + 1] = whose[i]
  reply[#reply + 1] = texts[i] or ''
end
return reply
