-- bury: take a silent incarnation out of the registry, if it is still silent.
-- KEYS 1 nodes; 2 the incarnation's node record   ARGV 1 incarnation; 2 renewal counter last seen
-- Returns 1 when buried, 0 when it has moved since (or is gone already)
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[2])
return 1
