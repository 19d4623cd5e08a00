-- join: an incarnation enters a partition.
-- KEYS 1 meta; 2 live   ARGV 1 incarnation
-- Returns {OK, gen, ctr}
redis.call('HSETNX', KEYS[1], 'gen', 1)
redis.call('SADD', KEYS[2], ARGV[1])
local m = redis.call('HMGET', KEYS[1], 'gen', 'ctr')
return {'OK', m[1], m[2] or '0'}
