-- again: a chat's pause or wait is over: who declined it may be asked once more,
-- or others than its visitor's last operator.
-- ARGV 3 nonce; 4 chat id
-- Returns OK
local alarm = 'again/' .. org .. '/' .. ARGV[4]
if not rung(alarm) then return reply('OK') end
redis.call('ZREM', DUE, alarm)
local c = get(CHAT, ARGV[4])
if c and c.state == 'waiting' then match() end
return reply('OK')
