-- pair: pair waiting chats with free operators; also the answer to the queue's
-- alarm. A new group of skills is filled first, some 64 operators a call.
-- ARGV 3 nonce
-- Returns OK, pairs made, '1' when a group is not full yet or the queue not looked through, then questions for webhooks (JSON; routing.Ask and its url) that
--   the caller must put; wake '1' when another call may make more
-- Stays true: while a chat waits, the queue alarm stands (at most 1 s away).
local fill = get(ORG, 'fill')
if fill then
  local t = fill[1].t
  local tm = team(int(t))
  local g = tm and tm.groups and tm.groups[fill[1].k]
  if g and g.f then
    local page = redis.call('HSCAN', OP, g.f, 'COUNT', 64)
    for k = 2, #page[2], 2 do
      local rec = cjson.decode(page[2][k])
      local n, member = tally(rec), t == 0
      for _, own in ipairs(rec.teams or {}) do member = member or own == t end
      if member then
        local link = linkOf('o' .. rec.id)
        local able = not barrier(rec, link, n) and meets(rec, g.n)
        list(rec, g.g, tm, n, able, limit(rec) - n.units >= units(tm), atWork(rec, link) and meets(rec, g.n))
      end
    end
    g.f = page[1] ~= '0' and page[1] or nil
    put(TEAM, int(t), tm)
  end
  if not (g and g.f) then
    table.remove(fill, 1)
    if #fill == 0 then redis.call('HDEL', ORG, 'fill') else put(ORG, 'fill', fill) end
  end
end
local made, on = match()
if redis.call('EXISTS', QUEUE) == 1 then later(1000, 'queue/' .. org .. '/0') end
local asks, out = get(ORG, 'asks'), {}
if asks then redis.call('HDEL', ORG, 'asks') end
for _, cid in ipairs(asks or {}) do
  local c = get(CHAT, int(cid))
  local q, tm = c and c.state == 'waiting' and c.ask, c and team(c.team)
  if q and tm and not q.ops and NOW < q.till then
    local list, seen, step = {}, {}, stepOf(c)
    for _, member in ipairs(candidates(c, tm, 16, tm.strategy == 'round_robin' and redis.call('HGET', ORG, 'rr:' .. int(c.team)) or '0')) do
      local op = string.match(member, ':(%d+)$')
      local rec = not seen[op] and not (c.declined and c.declined[op]) and suits(op, units(tm), step and step.need)
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
return reply('OK', made, on and 1 or redis.call('HEXISTS', ORG, 'fill'), unpack(out))
