-- ordermore: add people to an order's to-do; a scanning node also says it is done.
-- KEYS 17 to-do set; 18 set of incarnations that have yet to scan; 19 result hash
-- ARGV 3 order id; 4 incarnation that has finished its scan, '' for none; 5.. operator ids (at most 1,000)
-- Returns OK, incarnations still awaited, to-do size
-- Stays true: an operator who has a result is not added again; while anybody is to
--   do the order has a deadline.
for k = 5, #ARGV do
  if redis.call('HEXISTS', KEYS[19], ARGV[k]) == 0 then redis.call('SADD', KEYS[17], ARGV[k]) end
end
if ARGV[4] ~= '' then redis.call('SREM', KEYS[18], ARGV[4]) end
for _, i in ipairs(redis.call('SMEMBERS', KEYS[18])) do -- the dead scan nothing
  if redis.call('SISMEMBER', LIVE, i) == 0 then redis.call('SREM', KEYS[18], i) end
end
local awaited = redis.call('SCARD', KEYS[18])
if awaited == 0 then
  local kept = {}
  for id in string.gmatch(redis.call('HGET', ORDER, 'open') or '', '%d+') do
    if id ~= ARGV[3] then kept[#kept + 1] = id end
  end
  redis.call('HSET', ORDER, 'open', table.concat(kept, ','))
end
if redis.call('SCARD', KEYS[17]) > 0 then -- the order may have been done already
  redis.call('ZADD', DUE, 'NX', int(NOW + 2000), 'order/' .. org .. '/' .. ARGV[3])
end
return reply('OK', awaited, redis.call('SCARD', KEYS[17]))
