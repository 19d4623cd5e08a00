-- task: a piece of outside work of an operator is reported (other:<id>; a mail, a
-- case): it takes units, and a logout waits for it.
-- ARGV 3 operator id; 4 id of the work; 5 lease in ms: 0 ends it; 6 'ring' when the
--   lease's own deadline asks; 7 units, 1 to 250
-- Returns OK | GONE (no such operator) | OFFLINE | LEAVING (a logout waits: no new work)
--   | FULL (64 pieces). Renewing it may change its units; ending an unknown one is OK.
-- Stays true: every piece has a deadline in due, so that a lost system ends it; it is
--   taken as it is, also over the limit, and no chat comes before there is room.
local rec, lease = open(ARGV[3]), tonumber(ARGV[5])
local item, alarm = 'other:' .. ARGV[4], 'task/' .. org .. '/' .. ARGV[3] .. '/' .. ARGV[4]
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
  if finish(rec, item) then settle(rec) end
  return reply('OK')
end
if rec.account == 2 then return reply('GONE') end
local held, size = rec.work and rec.work[item], tonumber(ARGV[7])
if not held then
  if rec.leaving then return reply('LEAVING') end
  if rec.out or not linkOf('o' .. rec.id) then return reply('OFFLINE') end
  if (tally(rec).other or 0) >= 64 then return reply('FULL') end
end
if held ~= size then
  hold(rec, item, size)
  settle(rec)
end
later(lease, alarm)
return reply('OK')
