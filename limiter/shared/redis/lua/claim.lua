-- Claims a name for whoever is first.
-- KEYS: the claim. ARGV: who claims it, for how many ms
-- Reply: 1 the caller has it, 0 somebody else has
-- Run twice: finds its own claim, and replies 1 again.

if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 1 end
if redis.call('GET', KEYS[1]) == ARGV[1] then return 1 end
return 0
