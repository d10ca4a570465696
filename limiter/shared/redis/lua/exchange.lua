-- Takes a gateway's leases, and tells those of others.
-- KEYS: leases, beats. ARGV: the gateway, its leases, how many ms they count
-- Reply: other gateways and their leases
-- Run twice: tells the same again.

local t = redis.call('TIME')
local now, life = t[1] * 1000 + math.floor(t[2] / 1000), tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f', now))

local beats, reply = redis.call('HGETALL', KEYS[2]), {}
for i = 1, #beats, 2 do
  if now - tonumber(beats[i + 1]) >= life then
    redis.call('HDEL', KEYS[1], beats[i])
    redis.call('HDEL', KEYS[2], beats[i])
  elseif beats[i] ~= ARGV[1] then
    reply[#reply + 1] = beats[i]
    reply[#reply + 1] = redis.call('HGET', KEYS[1], beats[i]) or ''
  end
end
redis.call('PEXPIRE', KEYS[1], 10 * life)
redis.call('PEXPIRE', KEYS[2], 10 * life)
return reply
