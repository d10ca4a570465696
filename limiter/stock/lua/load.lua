-- Makes a ledger known, once.
-- ARGV: item, units, item, units ...
-- Reply: what is loaded, in the same form.
-- Run twice: the second run changes nothing and replies what the first one loaded.

local known = redis.call('HGETALL', counts)
if #known > 0 then
  local loaded = {}
  for i = 1, #known, 2 do
    if string.sub(known[i], 1, 2) == 'L:' then
      loaded[#loaded + 1] = string.sub(known[i], 3)
      loaded[#loaded + 1] = known[i + 1]
    end
  end
  return loaded
end

redis.call('HSET', counts, 'seq', 0, 'oversold', 0)
for i = 1, #ARGV, 2 do
  local item, units = ARGV[i], ARGV[i + 1]
  redis.call('HSET', counts, 'L:' .. item, units, 'F:' .. item, units, 'R:' .. item, 0,
    'S:' .. item, 0, 'H:' .. item, 0, 'B:' .. item, 0, 'W:' .. item, 0)
end
return ARGV
