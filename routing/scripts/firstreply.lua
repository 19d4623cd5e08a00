-- firstreply: an operator took a chat some time ago; unless they have said something
-- in it, it goes back to its place, or to another team, with its waiting time (A-7).
-- KEYS 20, 21 as in say.lua
-- ARGV 3 nonce; 4 chat id
-- Returns OK, '1' when the chat was taken away
-- Stays true: what anybody of the desk wrote since it was taken counts; the operator
--   is not asked again while anyone else can be, nor before the team's pause.
local alarm = 'reply/' .. org .. '/' .. ARGV[4]
if not rung(alarm) then return reply('OK', '0') end
redis.call('ZREM', DUE, alarm)
local c = get(CHAT, ARGV[4])
local tm = c and c.state == 'active' and team(c.team)
if not tm or not tm.reply_ms then return reply('OK', '0') end
if NOW < c.taken + tm.reply_ms then -- taken anew since, or given longer
  redis.call('ZADD', DUE, int(c.taken + tm.reply_ms), alarm)
  return reply('OK', '0')
end
if wrote('o', c.taken) then return reply('OK', '0') end
local rec, op, cid = open(int(c.op)), int(c.op), ARGV[4]
if rec then drop(rec, 'chat:' .. cid) end
c.declined = c.declined or {}
c.declined[op] = NOW + (tm.pause_ms or 10000)
later(tm.pause_ms or 10000, 'again/' .. org .. '/' .. cid)
requeue(c, tm.reply_team)
redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'no first reply', 'who', op, 'chat', cid, 'team', int(c.team))
parts.gone({'o' .. op}, c, 'no_reply')
if rec then
  if tm.reply_mark == 'unresponsive' and intents.cover(rec, 'Unresponsive', 'no first reply') then releaseAll(rec, 'withdrawn') end
  settle(rec)
end
if match() == 0 then castQueue() end
c = get(CHAT, cid)
if c.state ~= 'active' then tellVisitor(c) end
return reply('OK', '1')
