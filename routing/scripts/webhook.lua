-- The webhook prelude, behind open.lua: a team with ask_ms asks an address who
-- should get a chat, and waits for so long. The question stands in the chat's
-- record: n (operators asked before), id, till, and ops once it was answered.
-- Stays true  of a chat one question is open at a time; an answer is a preference
--             only: the claim checks each operator in its own step.

-- asked returns 'wait' while an answer may come, else the ids of operators who are
-- preferred, in order (none: the team's own order decides). It is called when
-- somebody could take the chat; a first call puts the question.
local function asked(c, tm)
  if not tm.ask_ms then return {} end
  local q, n = c.ask, c.tries or 0
  if q and q.n == n then
    local ids = {}
    for id in string.gmatch(q.ops or '', '%d+') do ids[#ids + 1] = id end
    return (q.ops or NOW >= q.till) and ids or 'wait'
  end
  c.ask = {n = n, till = NOW + tm.ask_ms, id = ARGV[3] .. '.' .. int(c.id) .. '.' .. n}
  putChat(c)
  later(tm.ask_ms, 'ask/' .. org .. '/' .. int(c.id))
  local list = get(ORG, 'asks') or {}
  list[#list + 1] = c.id
  put(ORG, 'asks', list) -- pair.lua takes it; a node that dies with it leaves the deadline
  return 'wait'
end
