-- The fence: reserved -> sending.
-- ARGV: token, ms until an unanswered order counts as held
-- Reply: 1 it may be sent, 0 it may not, -1 the ledger is not loaded
-- Run twice: the second run finds the token sending and replies 1 again.

if redis.call('EXISTS', counts) == 0 then return -1 end
local token = ARGV[1]
local u, at = read(token), now()

if not u then return 0 end
if u.state == 'S' then return 1 end
if u.state ~= 'R' or u.deadline <= at then return 0 end

move(token, u, 'S', at + tonumber(ARGV[2]))
return 1
