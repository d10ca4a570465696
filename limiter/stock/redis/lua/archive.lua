-- Forgets a ledger of which no token is open; only its epoch stays.
-- ARGV: none
-- Reply: 'ok', 'not_loaded', 'open'
-- Run twice: the second run finds it archived and replies ok.

if call('HEXISTS', head_key, 'archived') == 1 then return 'ok' end
local epoch = call('HGET', head_key, 'epoch')
if not epoch then return 'not_loaded' end
if call('ZCARD', due_key) > 0 then return 'open' end
call('UNLINK', unpack(KEYS))
call('HSET', head_key, 'archived', epoch)
return 'ok'
