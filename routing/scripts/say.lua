-- What timers say in a chat, and find in its log; stands behind match.lua.
-- KEYS 20 log; 21 message ids (as in start.lua and closing.lua)
-- Stays true  deadlines are not moved by messages: whoever answers one looks when
--             the log was last written, so that a message costs nothing more.

-- say stores a message of the desk's own (from "s") and nudges both parties and who else is in the chat.
local function say(c, text)
  local seq, cid = int(redis.call('HINCRBY', KEYS[21], '#', 1)), int(c.id)
  local m = '"from":"s","cmid":"s' .. seq .. '","text":' .. cjson.encode(text) .. '}'
  redis.call('XADD', KEYS[20], seq .. '-' .. GEN, 'at', int(NOW), 'm', m)
  local to = {c.visitor, c.state == 'active' and c.op and 'o' .. int(c.op) or nil}
  for id in pairs(c.with or {}) do to[#to + 1] = 'o' .. id end
  tell(to, 'm' .. cid .. ':' .. seq,
    '{"t":"message","chat":' .. cid .. ',"pos":"' .. seq .. '-' .. GEN .. '","seq":' .. seq .. ',"at":' .. int(NOW) .. ',' .. m)
end
-- wrote returns when somebody of a kind ('o', 'v' or '[ov]') last wrote, nil when not
-- since a time (Redis ms).
local function wrote(kind, since)
  local to = '+'
  while true do
    local page = redis.call('XREVRANGE', KEYS[20], to, '-', 'COUNT', 50)
    for _, e in ipairs(page) do
      local at, m
      for k = 1, #e[2], 2 do
        if e[2][k] == 'at' then at = tonumber(e[2][k + 1]) elseif e[2][k] == 'm' then m = e[2][k + 1] end
      end
      if not at or at < since then return nil end
      if string.match(m, '^"from":"' .. kind) then return at end
    end
    if #page < 50 then return nil end
    to = '(' .. page[#page][1]
  end
end
