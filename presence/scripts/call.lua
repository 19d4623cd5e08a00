-- call: telephony reports a call of an operator; a call is work.
-- ARGV 3 operator id; 4 call id; 5 lease in ms: 0 ends the call; 6 'ring' when
--   the lease's own deadline asks
-- Returns OK | GONE (no such operator) | OFFLINE | LEAVING (a logout waits: no new
--   call) | FULL (16 calls). Renewing a call whose lease is over starts it again;
--   ending an unknown one is OK.
-- Stays true: every call in work has a deadline in due; a lost owner ends it. The
--   call of a deleted operator ends like any other.
local rec = open(ARGV[3])
local item, lease = 'call:' .. ARGV[4], tonumber(ARGV[5])
local alarm = 'call/' .. org .. '/' .. ARGV[3] .. '/' .. ARGV[4]
if ARGV[6] == 'ring' then
  if not rung(alarm) then return reply('OK') end
  lease = 0
end
if not rec then
  redis.call('ZREM', DUE, alarm)
  return reply('GONE')
end
local held = rec.work and rec.work[item]
if lease == 0 then
  redis.call('ZREM', DUE, alarm)
  if finish(rec, item) then settle(rec) end
  return reply('OK')
end
if rec.account == 2 then return reply('GONE') end
if not held then
  if rec.leaving then return reply('LEAVING') end
  if rec.out or not redis.call('HGET', LINK, 'o' .. rec.id) then return reply('OFFLINE') end
  if tally(rec).call >= 16 then return reply('FULL') end
  if rec.wrap then
    rec.wrap = nil
    redis.call('ZREM', DUE, 'wrap/' .. org .. '/' .. rec.id)
  end
  hold(rec, item)
  settle(rec)
end
later(lease, alarm)
return reply('OK')
