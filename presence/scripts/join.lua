-- join: an incarnation enters a partition.
-- KEYS 1 meta; 2 live; 3 iq   ARGV 1 incarnation; 2 the generation that the caller
--   knows, 0 for none; 3 ms in which nobody is matched when that is gone
-- Returns {OK, gen}
-- Stays true: whoever was ever on the live list has an inbox number until what
--   they held is reaped; sweep.lua finds the dead by it. A partition whose data is
--   gone gets a generation that was never used.
local clock = redis.call('TIME')
local gen = math.max(ARGV[2] + 1, clock[1] - 1735689600)
if redis.call('HSETNX', KEYS[1], 'gen', string.format('%.0f', gen)) == 1 and ARGV[2] ~= '0' then
  redis.call('HSET', KEYS[1], 'hold', string.format('%.0f', clock[1] * 1000 + ARGV[3]), 'risen', string.format('%.0f', clock[1] * 1000))
end
redis.call('HSETNX', KEYS[3], ARGV[1], 0)
redis.call('SADD', KEYS[2], ARGV[1])
return {'OK', redis.call('HGET', KEYS[1], 'gen')}
