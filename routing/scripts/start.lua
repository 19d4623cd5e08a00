-- start: a visitor starts a chat: create, match or queue, first message, in one step.
-- KEYS 20 log; 21 message ids (both of the new chat's id)
-- ARGV 3 nonce; 4 visitor; 5 new chat id; 6 team id; 7 info JSON; 8 client message
--   id; 9 first message fragment, '' for none; 10 steps JSON, '' for no requirement;
--   11 priority, '' for the team's; 12 ms until the chat of a visitor who is not here is closed
-- Returns OK | OPEN (the visitor's open chat, nothing created), chat JSON, place (0 unless
--   waiting), when its team opens (0 unless it waits for that) | NOTEAM
--   | FORM (refused: nobody answers now), ms until it opens (0: open, or not known)
--   | FULL: the team's queue has its length and there is no overflow that answers now
--   | OUTDATED, team whose hours must be compiled first
-- Stays true: one open chat a visitor; the rank is given here, once. A level of
--   priority counts as 'step' earlier arrivals, so that a waiting chat is overtaken
--   by at most step x (difference of priority) later ones.
local visitor, id = ARGV[4], tonumber(ARGV[5])
local has = redis.call('HGET', VIS, visitor)
if has and redis.call('HEXISTS', CHAT, has) == 1 then
  local c = get(CHAT, has)
  return reply('OPEN', cjson.encode(c), c.state == 'waiting' and place(c) or 0, int(opensFor(c) or 0))
end
local t, flowed = tonumber(ARGV[6]), nil
local tm = team(t)
if not tm then return reply('NOTEAM') end
if outdated(tm) then return reply('OUTDATED', tm.open and ARGV[6] or '0') end
local answer, opens = admit(tm)
if answer == 'form' then return reply('FORM', int(opens and opens - NOW or 0)) end
if tm.queue_max and answer == 'serve' and ahead(tm) >= tm.queue_max then
  local to = tm.overflow_team and team(tm.overflow_team)
  if to and outdated(to) then return reply('OUTDATED', to.open and int(tm.overflow_team) or '0') end
  if not to or admit(to) ~= 'serve' or (to.queue_max and ahead(to) >= to.queue_max) then return reply('FULL') end
  t, tm, flowed = tm.overflow_team, to, 1
end
local turn = redis.call('HINCRBY', ORG, 'arrival', 1)
local prio, pstep = tonumber(ARGV[11]) or tm.priority or 0, team(0) and team(0).priority_step or 100
local info = cjson.decode(ARGV[7])
local c = {id = id, visitor = visitor, team = t, since = NOW, info = next(info) and info or nil, flowed = flowed,
  held = answer == 'hold' or nil,
  prio = prio > 0 and prio or nil, pstep = prio > 0 and pstep or nil, steps = ARGV[10] ~= '' and cjson.decode(ARGV[10]) or nil,
  rank = (turn + 1048576 - prio * pstep) * 16 + 15 - prio}
if tm.last_operator then
  local last = redis.call('HGET', KEYS[18], visitor) or redis.call('HGET', KEYS[19], visitor)
  c.last = tonumber(last)
  if last and (tm.last_wait_ms or 0) > 0 then
    c.lastuntil = NOW + tm.last_wait_ms
    later(tm.last_wait_ms, 'again/' .. org .. '/' .. int(id))
  end
end
enqueue(c)
-- Opened for a visitor who is not here: no end of a connection will ever ask, so it has
-- the deadline of one whose visitor has left, and waits for them as that does (V-1). Who
-- comes is found by enter.lua. 'remove' is for who has gone, not for who is yet to come.
if not linkOf(visitor) then
  later(tonumber(ARGV[12]), 'silent/' .. org .. '/' .. int(id))
  if tm.gone ~= 'offer' then
    redis.call('ZREM', QUEUE, c.id)
    c.state = 'parked'
    putChat(c)
  end
end
redis.call('HSET', VIS, visitor, int(id))
if ARGV[9] ~= '' then
  redis.call('XADD', KEYS[20], '1-' .. GEN, 'at', int(NOW), 'm', ARGV[9])
  redis.call('HSET', KEYS[21], '#', 1, visitor .. '/' .. ARGV[8], '1-' .. GEN .. '-' .. int(NOW))
  tell({visitor}, 'm' .. ARGV[5] .. ':1', '{"t":"message","chat":' .. ARGV[5] .. ',"pos":"1-' .. GEN .. '","seq":1,"at":' .. int(NOW) .. ',' .. ARGV[9])
end
if match() == 0 then castQueue() end
c = get(CHAT, int(id))
if c.state ~= 'active' then tellVisitor(c) end -- the visitor's other tabs; of an active one match() told
return reply('OK', cjson.encode(c), c.state == 'waiting' and place(c) or 0, int(opensFor(c) or 0))
