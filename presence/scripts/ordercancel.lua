-- ordercancel: stop an order, and undo it for those who are not out yet.
-- KEYS 17 to-do set; 18 set of who has yet to look; 19 results; 20 marks
-- ARGV 3 order id; 4 who asks; 5 '1' when these are the last; 6.. operator ids (at most
--   100) that have a result
-- Returns OK | NOTFOUND | DONE: everybody is out, nothing can be undone
-- Stays true: from the first call on nobody more is met by the order; who is out
--   stays out, who is leaving stays in unless another order waits too; until the last
--   call the order has a deadline, so that another node goes on.
local id = ARGV[3]
local alarm = 'order/' .. org .. '/' .. id
local f = redis.call('HMGET', ORDER, id, id .. ':phase', id .. ':leaving')
if not f[1] then return reply('NOTFOUND') end
if f[2] ~= 'cancelled' then
  local spec = cjson.decode(f[1])
  if f[2] == 'done' and not spec.standing and not spec.fence_ms and tonumber(f[3] or '0') <= 0 then return reply('DONE') end
  redis.call('HSET', ORDER, id .. ':phase', 'cancelled', id .. ':todo', 0)
  redis.call('DEL', KEYS[17], KEYS[18])
  shut(id, 'open')
  shut(id, 'late')
  if not spec.dry then
    redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'order cancelled', 'order', id, 'by', ARGV[4])
    cast('cancelled', id .. ' ' .. ARGV[4]) -- whoever would assert the order asserts this
  end
  later(2000, alarm)
end
for k = 6, #ARGV do
  local rec, was = open(ARGV[k]), get(KEYS[19], ARGV[k])
  -- Who was asserted after a failover may bear no mark any more: the cancel took it.
  if rec and was and (stay(rec, tonumber(id)) or (was.outcome == 'leaving' and (rec.floor or 0) < was.at)) then
    settle(rec)
    was.outcome, was.at = 'cancelled', NOW
    was.current = outward(rec, linkOf('o' .. ARGV[k]), tally(rec))
    put(KEYS[19], ARGV[k], was)
    redis.call('HINCRBY', ORDER, id .. ':leaving', -1)
    redis.call('HINCRBY', ORDER, id .. ':cancelled', 1)
  elseif rec and rec.fencer == tonumber(id) then
    rec.fence, rec.fencer = nil, nil
    settle(rec)
  end
end
if ARGV[5] == '1' then
  redis.call('ZREM', DUE, alarm)
  for k = 19, 20 do redis.call('PEXPIRE', KEYS[k], 2592000000) end
end
report(id)
return reply('OK')
