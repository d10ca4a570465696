-- What only scripts of the office need beside record.lua and move.lua.

-- names collects each once.
local function names()
  local list, seen = {}, {}
  return list, function(name)
    if not seen[name] then
      seen[name] = true
      list[#list + 1] = name
    end
  end
end

-- read_about reads tokens, and all that moving them takes.
local function read_about(list)
  read_tokens(list)
  local whose, add_account = names()
  local what, add_item = names()
  for _, token in ipairs(list) do
    local u = tokens[token]
    if u and u.account ~= '' then
      add_account(u.account)
      add_item(u.item)
    end
  end
  read_accounts(whose)
  return read_head(what)
end

-- new_item makes the ledger know the item.
local function new_item(name)
  if not items[name] then
    items[name] = {L = 0, F = 0, R = 0, S = 0, H = 0, B = 0, W = 0, dirty = false}
    edit(items[name])
  end
  return items[name]
end
