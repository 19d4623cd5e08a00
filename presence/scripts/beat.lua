-- beat: an incarnation proves that it is alive.
-- KEYS 1 nodes; 2 partitions in use   ARGV 1 incarnation
-- Returns {alive 1|0, nodes as flat list incarnation, counter ..., tags in use}
-- Stays true: a buried incarnation is never brought back.
local nodes, alive = redis.call('HGETALL', KEYS[1]), 0
for k = 1, #nodes, 2 do
  if nodes[k] == ARGV[1] then
    alive = 1
    nodes[k + 1] = tostring(redis.call('HINCRBY', KEYS[1], ARGV[1], 1))
  end
end
return {alive, nodes, redis.call('SMEMBERS', KEYS[2])}
