-- relax: a waiting chat's next requirement begins to count: it moves to that
-- group and keeps its rank.
-- ARGV 3 nonce; 4 chat id
-- Returns OK
-- Stays true: a chat that is offered or parked meanwhile comes back to the group
--   of what it requires then.
local alarm = 'relax/' .. org .. '/' .. ARGV[4]
if not rung(alarm) then return reply('OK') end
redis.call('ZREM', DUE, alarm)
local c = get(CHAT, ARGV[4])
if not c or c.state == 'active' then return reply('OK') end
stand(c)
putChat(c)
if c.state == 'waiting' then
  redis.call('ZADD', QUEUE, 'XX', c.score, c.id)
  match()
end
return reply('OK')
