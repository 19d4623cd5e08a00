-- lapse: the time of a temporary status is over.
-- ARGV 3 operator id
-- Returns OK
-- Stays true: a temporary status has a deadline; who is idle by then is Away.
local alarm = 'until/' .. org .. '/' .. ARGV[3]
if not rung(alarm) then return reply('OK') end
redis.call('ZREM', DUE, alarm)
local rec = open(ARGV[3])
if rec and rec.till then
  intents.lapse(rec)
  intents.nap(rec)
  settle(rec)
end
return reply('OK')
