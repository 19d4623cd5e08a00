-- idle: all connections that an incarnation holds of an operator are idle, or
-- one is in use again; or the deadline of one who was idle and busy rings.
-- ARGV 3 operator id; 4 '1' idle | '0' in use | 'ring'
-- Returns OK
-- Stays true: an operator is Away only while every connection, on every node, is
--   idle (P-13), and goes back to what was chosen, never above it (P-15).
local alarm = 'idle/' .. org .. '/' .. ARGV[3]
if ARGV[4] == 'ring' then
  if not rung(alarm) then return reply('OK') end
  redis.call('ZREM', DUE, alarm)
end
local rec = open(ARGV[3])
if not rec then return reply('OK') end
local link = linkOf('o' .. ARGV[3])
if ARGV[4] ~= 'ring' then
  if not string.find(',' .. (link or '') .. ',', ',' .. inc .. ',', 1, true) then return reply('OK') end
  intents.doze(rec, inc, ARGV[4] == '1')
end
intents.nap(rec)
settle(rec)
return reply('OK')
