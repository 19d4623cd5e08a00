-- doze: a visitor may have written nothing for as long as the team waits: then the chat
-- takes no units of its operator, until the visitor writes (wake.lua).
-- KEYS 20, 21 as in say.lua
-- ARGV 3 nonce; 4 chat id
-- Returns OK, '1' when its units were given back now
-- Stays true: the chat stays its operator's, with its place in their list, and keeps a
--   logout waiting; its units are given back once, and taken again once.
local alarm = 'doze/' .. org .. '/' .. ARGV[4]
if not rung(alarm) then return reply('OK', '0') end
redis.call('ZREM', DUE, alarm)
local c = get(CHAT, ARGV[4])
local tm = c and c.state == 'active' and team(c.team)
if not tm or not tm.silent_ms or c.dozes then return reply('OK', '0') end
local due = math.max(c.taken, wrote('v', c.taken) or 0) + tm.silent_ms
local rec = NOW >= due and open(int(c.op))
if not rec then
  redis.call('ZADD', DUE, int(math.max(due, NOW + 1000)), alarm)
  return reply('OK', '0')
end
c.dozes, c.back = 1, nil
putChat(c)
hold(rec, 'chat:' .. ARGV[4], 0)
settle(rec)
tellOperator(c)
match()
return reply('OK', '1')
