-- call: telephony reports a leg of a call of an operator; a leg is work.
-- ARGV 3 operator id; 4 call id; 5 lease in ms: 0 ends the leg; 6 'ring' when the
--   lease's own deadline asks; 7 role: 1 talking, 2 on hold, 3 conference, 4 consult,
--   5 monitoring
-- Returns OK | GONE (no such operator) | OFFLINE | LEAVING (a logout waits: no new
--   call) | FULL (16 calls). Renewing a call whose lease is over starts it again, and
--   changes its role; ending an unknown one is OK.
-- Stays true: every leg in work has a deadline in due; a lost owner ends it. The
--   call of a deleted operator ends like any other. Who only monitors has no call.
local rec = open(ARGV[3])
local lease, role = tonumber(ARGV[5]), tonumber(ARGV[7] or '1')
local item, other = 'call:' .. ARGV[4], 'monitor:' .. ARGV[4]
if role == 5 then item, other = other, item end
local alarm = 'call/' .. org .. '/' .. ARGV[3] .. '/' .. ARGV[4]
if ARGV[6] == 'ring' then
  if not rung(alarm) then return reply('OK') end
  lease = 0
end
if not rec then
  redis.call('ZREM', DUE, alarm)
  return reply('GONE')
end
if lease == 0 then
  redis.call('ZREM', DUE, alarm)
  local ended = finish(rec, 'call:' .. ARGV[4])
  if drop(rec, 'monitor:' .. ARGV[4]) or ended then settle(rec) end
  return reply('OK')
end
if rec.account == 2 then return reply('GONE') end
local held = rec.work and rec.work[item]
if not held then
  if rec.leaving then return reply('LEAVING') end
  if rec.out or not linkOf('o' .. rec.id) then return reply('OFFLINE') end
  local n = tally(rec)
  if n.call + (n.monitor or 0) >= 16 then return reply('FULL') end
  if rec.wrap and role ~= 5 then
    rec.wrap = nil
    redis.call('ZREM', DUE, 'wrap/' .. org .. '/' .. rec.id)
  end
end
if held ~= role then
  drop(rec, other)
  hold(rec, item, role)
  settle(rec)
end
later(lease, alarm)
return reply('OK')
