-- group: does a group of skills live on? It goes an hour after its last use: first
-- it takes nobody in, then its members go, then its number is free.
-- ARGV 3 nonce (unused); 4 team id; 5 key of the group in its team
-- Returns OK
local alarm = 'group/' .. org .. '/' .. ARGV[4] .. '/' .. ARGV[5]
if not rung(alarm) then return reply('OK') end
redis.call('ZREM', DUE, alarm)
local tm = team(ARGV[4])
local g = tm and tm.groups and tm.groups[ARGV[5]]
if not g then return reply('OK') end
local lo = g.g * BAND
if redis.call('ZCOUNT', QUEUE, int(lo), '(' .. int(lo + BAND)) > 0 then g.u, g.x = NOW, nil end
if NOW - g.u < 3600000 then
  later(3600000 - (NOW - g.u), alarm)
  put(TEAM, ARGV[4], tm)
  return reply('OK')
end
g.x = 1
local left = 250
for _, band in ipairs({{int(lo), '(' .. int(lo + BAND)}, {int(STAFF - lo), int(FULL - lo)}}) do
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', FREE, band[1], band[2], 'LIMIT', 0, left)) do
    redis.call('ZREM', FREE, member)
    left = left - 1
  end
end
if left == 0 then
  later(0, alarm)
else
  tm.groups[ARGV[5]] = nil
  if not next(tm.groups) then tm.groups = nil end
  local used = get(ORG, 'groups') or {}
  used[int(g.g)] = nil
  if next(used) then put(ORG, 'groups', used) else redis.call('HDEL', ORG, 'groups') end
end
put(TEAM, ARGV[4], tm)
return reply('OK')
