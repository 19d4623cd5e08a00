-- order: write a logout order, before anybody is looked for; or begin one that was
-- scheduled and whose time has come.
-- KEYS 17 to-do set of the order; 18 set of who has yet to look; 19 results; 20 marks;
--   21 index of orders
-- ARGV 3 order id; 4 order JSON; 5 '1' when nodes must look through their addresses;
--   6 Redis ms at which it begins, 0 for now; 7 '1' standing; 8 '1' dry run; 9 who has
--   cancelled it, when a node asserts an order that a failover may have lost, else ''
-- Returns OK | LATER (its deadline begins it) | FULL (100 orders look for newcomers)
-- Stays true: from the step that begins it a connection that enters learns of the
--   order (enter.lua returns the open ones), so nobody slips between scan and
--   connect; it has a deadline until everybody has looked and all are worked on.
local id = ARGV[3]
local alarm = 'order/' .. org .. '/' .. id
local open_ = redis.call('HGET', ORDER, 'open') or ''
if ARGV[5] == '1' and select(2, string.gsub(open_, '%d+', '')) >= 100 then return reply('FULL') end
if redis.call('HEXISTS', ORDER, id) == 1 then
  if redis.call('HGET', ORDER, id .. ':phase') ~= 'scheduled' then return reply('OK') end
  if not rung(alarm) then return reply('LATER') end
else
  redis.call('HSET', ORDER, id, ARGV[4], id .. ':at', int(NOW), id .. ':phase', '')
  if ARGV[8] ~= '1' then
    redis.call('ZADD', KEYS[21], id, id)
    redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'logout order', 'order', id, 'spec', ARGV[4])
  end
  if ARGV[9] ~= '' then
    redis.call('HSET', ORDER, id .. ':phase', 'cancelled')
    redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'order cancelled', 'order', id, 'by', ARGV[9])
    return reply('OK')
  end
  -- Old orders go as new ones come: each looks at some ten for those that are done
  -- and over 30 days old (a dry run: an hour). Their own keys expire by themselves.
  local seen = redis.call('HSCAN', ORDER, redis.call('HGET', ORDER, 'scan') or '0', 'COUNT', 50)
  redis.call('HSET', ORDER, 'scan', seen[1])
  for k = 1, #seen[2], 2 do
    local old = string.match(seen[2][k], '^(%d+):at$')
    if old and NOW - tonumber(seen[2][k + 1]) > 3600000 then
      local dry = not redis.call('ZSCORE', KEYS[21], old)
      local waits = tonumber(redis.call('HGET', ORDER, old .. ':leaving') or '0') > 0
        or string.find(',' .. open_ .. ',', ',' .. old .. ',', 1, true) or redis.call('HGET', ORDER, old .. ':phase') == 'scheduled'
      if dry or (not waits and NOW - tonumber(seen[2][k + 1]) > 2592000000) then
        redis.call('HDEL', ORDER, old, old .. ':at', old .. ':phase', old .. ':todo', old .. ':out', old .. ':leaving', old .. ':offline', old .. ':cancelled', old .. ':late')
        redis.call('ZREM', KEYS[21], old)
      end
    end
  end
  if tonumber(ARGV[6]) > NOW then
    redis.call('HSET', ORDER, id .. ':phase', 'scheduled')
    redis.call('ZADD', DUE, ARGV[6], alarm)
    report(id)
    return reply('LATER')
  end
end
redis.call('HSET', ORDER, id .. ':phase', '')
redis.call('SADD', KEYS[18], '0') -- the names
if ARGV[5] == '1' then
  for _, i in ipairs(redis.call('SMEMBERS', LIVE)) do redis.call('SADD', KEYS[18], i) end
  redis.call('HSET', ORDER, 'open', open_ ~= '' and (open_ .. ',' .. id) or id)
  cast('order', id)
end
later(2000, alarm)
return reply('OK')
