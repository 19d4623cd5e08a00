-- join: an incarnation enters a partition.
-- KEYS 1 meta; 2 live; 3 iq   ARGV 1 incarnation
-- Returns {OK, gen, ctr}
-- Stays true: whoever was ever on the live list has an inbox number until what
--   they held is reaped; sweep.lua finds the dead by it.
redis.call('HSETNX', KEYS[1], 'gen', 1)
redis.call('HSETNX', KEYS[3], ARGV[1], 0)
redis.call('SADD', KEYS[2], ARGV[1])
local m = redis.call('HMGET', KEYS[1], 'gen', 'ctr')
return {'OK', m[1], m[2] or '0'}
