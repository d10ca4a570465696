-- Finds tokens.
-- ARGV: 'token', token | 'ref', reference | 'page', cursor, about how many
-- Reply: {cursor of the next page or '0', then token, record of each}; an empty list: the
--   ledger is not loaded
-- Run twice: reads only.

if call('HEXISTS', head_key, 'seq') == 0 then return {} end
local token = ARGV[2]
if ARGV[1] == 'page' then
  local page = call('HSCAN', tokens_key, ARGV[2], 'COUNT', ARGV[3])
  local reply = {page[1]}
  for i = 1, #page[2], 2 do
    local state = unpack_text(page[2][i + 1])
    if state ~= 'X' and state ~= 'A' then
      reply[#reply + 1] = page[2][i]
      reply[#reply + 1] = page[2][i + 1]
    end
  end
  return reply
end
if ARGV[1] == 'ref' then token = call('HGET', refs_key, ARGV[2]) or '' end
local text = call('HGET', tokens_key, token)
if not text or unpack_text(text) == 'A' then return {'0'} end
return {'0', token, text}
