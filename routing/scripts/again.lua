-- again: the pause is over; whoever declined a chat may be asked once more.
-- ARGV 3 nonce; 4 chat id
-- Returns OK
local alarm = 'again/' .. org .. '/' .. ARGV[4]
if not rung(alarm) then return reply('OK') end
redis.call('ZREM', DUE, alarm)
local c = get(CHAT, ARGV[4])
if c and c.declined then
  c.declined = nil
  putChat(c)
  if c.state == 'waiting' then match() end
end
return reply('OK')
