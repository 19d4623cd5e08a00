-- pair: pair waiting chats with free operators; also the answer to the queue's alarm.
-- ARGV 3 nonce
-- Returns OK, pairs made; wake '1' when another call may make more
-- Stays true: while a chat waits, the queue alarm stands (at most 1 s away).
local made = match()
if redis.call('EXISTS', QUEUE) == 1 then later(1000, 'queue/' .. org .. '/0') end
return reply('OK', made)
