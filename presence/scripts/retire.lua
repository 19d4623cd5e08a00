-- retire: an incarnation that holds nothing more leaves a partition.
-- KEYS 1 live; 2 own of the incarnation; 3 iq; 4 deaf   ARGV 1 incarnation
-- Returns 1 when it left, 0 when it still holds edges: whoever keeps the partition
--   then reaps them, as after a death
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('SREM', KEYS[4], ARGV[1])
return 1
