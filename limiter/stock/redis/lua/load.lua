-- Makes a ledger known, unless it is.
-- ARGV: '1' frozen | '0', terms, then item, units, item, units ...
-- Reply: {1 it was loaded now, else 0; the head as a flat list}
-- Run twice: the second run changes nothing and replies what the first one loaded.

if call('HEXISTS', head_key, 'seq') == 1 then return {0, call('HGETALL', head_key)} end

-- What a lost head has left behind belongs to no count.
local archived = tonumber(call('HGET', head_key, 'archived') or 0)
local t = call('TIME')
local epoch = math.max(t[1] * 1000000 + t[2], archived + 1)
local freeze, since = 0, 0
if ARGV[1] == '1' then freeze, since = epoch + 1, now() end
call('UNLINK', unpack(KEYS))
call('HSET', head_key, 'after', format('%.0f', archived), 'epoch', epoch, 'seq', 0, 'oversold', 0, 'state', 'O', 'freeze', freeze,
  'frozen', freeze > 0 and freeze or epoch, 'since', since, 'terms', ARGV[2])
for i = 3, #ARGV, 2 do
  call('HSET', head_key, ':' .. ARGV[i], ARGV[i + 1] .. ' ' .. ARGV[i + 1] .. ' 0 0 0 0 0')
end
return {1, call('HGETALL', head_key)}
