-- beat: an incarnation proves that it is alive.
-- KEYS 1 nodes; 2 partitions in use   ARGV 1 incarnation
-- Returns {alive 1|0, nodes as flat list incarnation, counter ..., tags in use}
-- Stays true: a buried incarnation is never brought back.
local alive = redis.call('HEXISTS', KEYS[1], ARGV[1])
if alive == 1 then redis.call('HINCRBY', KEYS[1], ARGV[1], 1) end
return {alive, redis.call('HGETALL', KEYS[1]), redis.call('SMEMBERS', KEYS[2])}
