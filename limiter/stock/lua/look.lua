-- The counts and the holders of a ledger, at one instant.
-- ARGV: none
-- Reply: {counts as a flat list, accounts as a flat list}; both empty where the ledger is
--   not loaded
-- Run twice: reads only.

return {redis.call('HGETALL', counts), redis.call('HGETALL', accounts)}
