-- visitor: a visitor with an open chat went offline, or came back.
-- ARGV 3 nonce; 4 visitor; 5 'gone' or 'back'; 6 ms until a silent chat is closed
-- Returns OK, chat id or 0
-- Stays true: a chat whose visitor is gone has a 'silent' deadline, so that it can
--   neither wait nor hold an operator (and a logout) for ever.
local visitor, alarm = ARGV[4], 'gone/' .. org .. '/' .. ARGV[4]
if ARGV[5] == 'gone' and not rung(alarm) then return reply('OK', 0) end
redis.call('ZREM', DUE, alarm)
local cid = redis.call('HGET', VIS, visitor)
local c = cid and get(CHAT, cid)
if not c then return reply('OK', 0) end
if redis.call('HGET', LINK, visitor) then
  redis.call('ZREM', DUE, 'silent/' .. org .. '/' .. cid)
else
  redis.call('ZADD', DUE, 'NX', int(NOW + ARGV[6]), 'silent/' .. org .. '/' .. cid)
end
if c.state == 'active' then tellOperator(c) end
return reply('OK', c.id)
