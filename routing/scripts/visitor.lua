-- visitor: a visitor with an open chat went offline, or came back.
-- ARGV 3 nonce; 4 visitor; 5 'rings' when the deadline asks; 6 ms until a silent chat is closed
-- Returns OK, chat id or 0
-- Stays true: a chat whose visitor is gone has a 'silent' deadline, so that it can
--   neither wait nor hold an operator (and a logout) for ever; unless the team says
--   'offer', nobody is asked to take one whose visitor is gone (V-1).
local visitor, alarm = ARGV[4], 'gone/' .. org .. '/' .. ARGV[4]
if ARGV[5] == 'rings' and not rung(alarm) then return reply('OK', 0) end
redis.call('ZREM', DUE, alarm)
local cid = redis.call('HGET', VIS, visitor)
local c = cid and get(CHAT, cid)
if not c then return reply('OK', 0) end
local silent = 'silent/' .. org .. '/' .. cid
if linkOf(visitor) then
  redis.call('ZREM', DUE, silent)
  if c.asks or c.still or c.state == 'parked' then
    redis.call('ZREM', DUE, 'still/' .. org .. '/' .. cid)
    c.seen, c.still = NOW, nil
    putChat(c)
  end
  if c.state == 'parked' and not c.op then
    enqueue(c)
    if match() == 0 then castQueue() end
    c = get(CHAT, cid)
    if c.state ~= 'active' then tellVisitor(c) end
  end
else
  local policy = (team(c.team) or {}).gone or 'park'
  redis.call('ZADD', DUE, 'NX', int(NOW + ARGV[6]), silent)
  if c.state == 'offered' and policy ~= 'offer' then
    for id in pairs(c.offers) do
      local rec = open(id)
      parts.release(rec, cid, 'visitor_left')
      settle(rec)
    end
    c = get(CHAT, cid)
  end
  if c.state == 'waiting' and policy ~= 'offer' then
    redis.call('ZREM', QUEUE, cid)
    c.state = 'parked'
    putChat(c)
    castQueue()
    if policy == 'remove' then later(0, silent) end
    match() -- for whom an offer was withdrawn
  end
end
if c.state == 'active' then tellOperator(c) end
return reply('OK', c.id)
