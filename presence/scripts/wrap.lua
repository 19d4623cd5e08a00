-- wrap: wrap-up time is over.
-- ARGV 3 operator id
-- Returns OK
local alarm = 'wrap/' .. org .. '/' .. ARGV[3]
if not rung(alarm) then return reply('OK') end
redis.call('ZREM', DUE, alarm)
local rec = open(ARGV[3])
if rec and rec.wrap then
  rec.wrap = nil
  settle(rec)
end
return reply('OK')
