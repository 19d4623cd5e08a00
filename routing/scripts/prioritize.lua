-- prioritize: an open chat gets another priority, and with it the rank that it would
-- have had with it from the start: the bound on overtaking (start.lua) holds as before.
-- ARGV 3 nonce; 4 chat id; 5 priority, 0 to 9; 6 who
-- Returns OK, chat JSON, its place (0 unless waiting) | NOTFOUND
-- Stays true: whatever priorities a chat had in between leaves no trace; what is offered
--   or held is not taken away, and goes to the new rank should it wait again.
local c = get(CHAT, ARGV[4])
if not c then return reply('NOTFOUND') end
local was, now, step = c.prio or 0, tonumber(ARGV[5]), team(0) and team(0).priority_step or 100
if now ~= was then
  c.rank = math.max(0, c.rank + (was * (c.pstep or step) - now * step) * 16 + was - now)
  c.prio, c.pstep = now > 0 and now or nil, now > 0 and step or nil
  redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'priority', 'chat', int(c.id), 'was', was, 'now', now, 'by', ARGV[6])
  if c.state == 'waiting' then
    stand(c)
    putChat(c)
    redis.call('ZADD', QUEUE, 'XX', c.score, c.id)
    if match() == 0 then castQueue() end
    c = get(CHAT, ARGV[4])
  else
    c.score = int(c.group * BAND + c.rank)
    putChat(c)
  end
end
return reply('OK', cjson.encode(c), c.state == 'waiting' and place(c) or 0)
