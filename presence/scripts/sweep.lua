-- sweep: what is due in a partition, and who has something there.
-- KEYS 1 due; 2 iq   ARGV 1 how many; 2 '1': say who has something here too
-- Returns {members due, oldest first}, {incarnations that live here or are not yet
--   reaped to the end}, ms the oldest is late
-- Changes nothing: whoever answers an alarm removes it in the same step.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now), 'WITHSCORES', 'LIMIT', 0, ARGV[1])
local names, late = {}, 0
for k = 1, #due, 2 do
  names[#names + 1] = due[k]
  late = math.max(late, now - tonumber(due[k + 1]))
end
return {names, ARGV[2] == '1' and redis.call('HKEYS', KEYS[2]) or {}, late}
