-- cut: the time that an order leaves an operator for their work is over.
-- ARGV 3 operator id
-- Returns OK, '1' when the operator was signed out now
-- Stays true: chats go to the head of their queues with their logs in the step that
--   signs out (L-7); nobody is out with work.
local alarm = 'cut/' .. org .. '/' .. ARGV[3]
if not rung(alarm) then return reply('OK', '0') end
if HOLD > NOW then -- a chat that has ended, or the order's end, is yet to be asserted (adopt.lua)
  redis.call('ZADD', DUE, int(HOLD), alarm)
  return reply('OK', '0')
end
redis.call('ZREM', DUE, alarm)
local rec = open(ARGV[3])
local l, by, at = rec and rec.leaving or {}, nil, nil
for id, v in pairs(l.cuts or {}) do
  if not at or v < at then by, at = tonumber(id), v end
end
if not at then return reply('OK', '0') end
if at > NOW then
  redis.call('ZADD', DUE, int(at), alarm)
  return reply('OK', '0')
end
empty(rec)
signOut(rec, l.reason, by)
settle(rec)
return reply('OK', '1')
