-- Ends an open token.
-- ARGV: token, 'sold' | 'free' | 'unknown', ms for which a cancelled token is remembered
-- Reply: 'ok', 'sold' (it cannot be freed), 'oversold' (units were sold that were not
--   there), 'not_loaded'
-- Run twice: the second run changes nothing and replies the same.

if redis.call('EXISTS', counts) == 0 then return 'not_loaded' end
local token, outcome = ARGV[1], ARGV[2]
local at = now()
local u = read(token)
local state = u and u.state or 'X'
local open = state == 'R' or state == 'S' or state == 'H'
local bought = u and u.account ~= '' and holder(u.account) or 0

if outcome == 'unknown' then
  if state == 'R' or state == 'S' then
    move(token, u, 'H', 0)
    changed()
  end
  return 'ok'
end

if outcome == 'free' then
  if state == 'B' then return 'sold' end
  if open then
    move(token, u, 'X', 0)
    set_holder(u.account, bought, '')
    changed()
  elseif not u then
    write(token, {state = 'X', units = 0, over = 0, deadline = 0, item = '', account = ''})
  else
    return 'ok'
  end
  forget_at(token, at + tonumber(ARGV[3]))
  return 'ok'
end

if state == 'B' then return u.over > 0 and 'oversold' or 'ok' end
if open then
  move(token, u, 'B', 0)
  set_holder(u.account, bought + u.units, '')
  changed()
  return 'ok'
end

-- Sold after it was given back. The account may have another open token by now. What was
-- never seen is one unit of nobody knows what.
u = u or {units = 0, item = '', account = ''}
local asked = math.max(u.units, 1)
local taken = 0
if u.account ~= '' then
  taken = math.min(asked, tonumber(redis.call('HGET', counts, 'F:' .. u.item)))
  local _, other = holder(u.account)
  if taken > 0 then -- as text -0 is no number
    redis.call('HINCRBY', counts, 'F:' .. u.item, -taken)
    redis.call('HINCRBY', counts, 'B:' .. u.item, taken)
  end
  set_holder(u.account, bought + asked, other)
end
redis.call('HINCRBY', counts, 'oversold', asked - taken)
redis.call('ZREM', cancelled, token)
u.state, u.deadline, u.units, u.over = 'B', 0, taken, asked - taken
write(token, u)
changed()
return u.over > 0 and 'oversold' or 'ok'
