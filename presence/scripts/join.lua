-- join: an incarnation enters a partition.
-- KEYS 1 meta; 2 live; 3 iq   ARGV 1 incarnation
-- Returns {OK, gen}
-- Stays true: whoever was ever on the live list has an inbox number until what
--   they held is reaped; sweep.lua finds the dead by it. A partition whose data is
--   gone gets a generation that was never used.
local clock = redis.call('TIME')
redis.call('HSETNX', KEYS[1], 'gen', string.format('%.0f', clock[1] - 1735689600))
redis.call('HSETNX', KEYS[3], ARGV[1], 0)
redis.call('SADD', KEYS[2], ARGV[1])
return {'OK', redis.call('HGET', KEYS[1], 'gen')}
