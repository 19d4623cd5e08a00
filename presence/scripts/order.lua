-- order: write a logout order, before anybody is looked for.
-- KEYS 17 to-do set of the order; 18 set of incarnations that have yet to scan
-- ARGV 3 order id; 4 order JSON; 5 '1' when it names networks; 6.. operator ids already known
-- Returns OK
-- Stays true: from this step on a connection that enters learns of the order
--   (enter.lua returns the open ones), so nobody slips between scan and connect.
local id = ARGV[3]
if redis.call('HEXISTS', ORDER, id) == 1 then return reply('OK') end
redis.call('HSET', ORDER, id, ARGV[4], id .. ':at', int(NOW), id .. ':out', 0, id .. ':leaving', 0, id .. ':offline', 0)
for k = 6, #ARGV do redis.call('SADD', KEYS[17], ARGV[k]) end
if ARGV[5] == '1' then
  for _, i in ipairs(redis.call('SMEMBERS', LIVE)) do redis.call('SADD', KEYS[18], i) end
  local open_ = redis.call('HGET', ORDER, 'open')
  redis.call('HSET', ORDER, 'open', (open_ and open_ ~= '') and (open_ .. ',' .. id) or id)
  cast('order', id)
end
later(2000, 'order/' .. org .. '/' .. id)
-- Old orders go as new ones come: each looks at some ten for those that are done
-- and over 30 days old. Their own sets and results expire by themselves.
local seen = redis.call('HSCAN', ORDER, redis.call('HGET', ORDER, 'scan') or '0', 'COUNT', 50)
redis.call('HSET', ORDER, 'scan', seen[1])
for k = 1, #seen[2], 2 do
  local old = string.match(seen[2][k], '^(%d+):at$')
  if old and NOW - tonumber(seen[2][k + 1]) > 2592000000 and tonumber(redis.call('HGET', ORDER, old .. ':leaving')) <= 0 then
    redis.call('HDEL', ORDER, old, old .. ':at', old .. ':out', old .. ':leaving', old .. ':offline')
  end
end
redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'logout order', 'id', id, 'order', ARGV[4])
return reply('OK')
