-- Gives a ledger other terms, or another state.
-- ARGV: 'terms' | 'state', the value
-- Reply: 'ok', 'not_loaded'
-- Run twice: sets the same again.

if call('HEXISTS', head_key, 'seq') == 0 then return 'not_loaded' end
call('HSET', head_key, ARGV[1], ARGV[2])
return 'ok'
