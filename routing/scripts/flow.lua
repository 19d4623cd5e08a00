-- flow: a chat has waited in its team for as long as the team lets it, and goes
-- to the overflow team with its rank and its waiting time kept.
-- ARGV 3 nonce; 4 chat id
-- Returns OK, '1' when it moved
-- Stays true: a chat overflows once; one that is being offered is asked again in 1 s, one
--   whose other team does not answer now in 10 s.
local alarm = 'flow/' .. org .. '/' .. ARGV[4]
if not rung(alarm) then return reply('OK', '0') end
redis.call('ZREM', DUE, alarm)
local c = get(CHAT, ARGV[4])
local tm = c and team(c.team)
local to = tm and tm.overflow_team
if not to or not team(to) or c.flowed or c.state == 'active' then return reply('OK', '0') end
if c.state ~= 'waiting' or admit(team(to)) ~= 'serve' then
  later(c.state == 'waiting' and 10000 or 1000, alarm)
  return reply('OK', '0')
end
c.team, c.flowed, c.declined, c.ask, c.held = to, 1, nil, nil, nil
enqueue(c)
if match() == 0 then castQueue() end
c = get(CHAT, ARGV[4])
if c.state ~= 'active' then tellVisitor(c) end
return reply('OK', '1')
