-- flap: the alarm that an operator's automatic status changes were stopped.
-- ARGV 3 operator id
-- Returns OK, '1' when this call took the alarm
local alarm = 'flap/' .. org .. '/' .. ARGV[3]
return reply('OK', rung(alarm) and redis.call('ZREM', DUE, alarm) or 0)
