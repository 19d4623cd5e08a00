-- pair: pair waiting chats with free operators; also the answer to the queue's alarm.
-- ARGV 3 nonce
-- Returns OK, pairs made, then questions for webhooks (JSON; routing.Ask and its url) that
--   the caller must put; wake '1' when another call may make more
-- Stays true: while a chat waits, the queue alarm stands (at most 1 s away).
local made = match()
if redis.call('EXISTS', QUEUE) == 1 then later(1000, 'queue/' .. org .. '/0') end
local asks, out = get(ORG, 'asks'), {}
if asks then redis.call('HDEL', ORG, 'asks') end
for _, cid in ipairs(asks or {}) do
  local c = get(CHAT, int(cid))
  local q, tm = c and c.state == 'waiting' and c.ask, c and team(c.team)
  if q and tm and not q.ops and NOW < q.till then
    local list, seen = {}, {}
    for _, member in ipairs(candidates(c, tm)) do
      local op = string.match(member, ':(%d+)$')
      local rec = not seen[op] and suits(c, op)
      seen[op] = true -- a round comes back to where it began
      if rec then
        local n = tally(rec)
        list[#list + 1] = {id = rec.id, name = rec.name, chats = n.chat + n.offer}
      end
    end
    out[#out + 1] = cjson.encode({id = q.id, chat = c.id, team = c.team, tries = q.n, waited_ms = NOW - c.since, left_ms = q.till - NOW,
      visitor = visitorOf(c), candidates = #list > 0 and list or nil, url = tm.webhook})
  end
end
return reply('OK', made, unpack(out))
