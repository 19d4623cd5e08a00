-- advise: a webhook answered, or its time is over.
-- ARGV 3 nonce; 4 chat; 5 question, '' for its deadline; 6 operators preferred, best
--   first ('' nobody: the fallback decides)
-- Returns OK | LATE: the chat waits no more, or not for this answer; nothing was changed
-- Stays true: an answer after its deadline changes nothing.
local alarm = 'ask/' .. org .. '/' .. ARGV[4]
if ARGV[5] == '' then
  if not rung(alarm) then return reply('LATE') end
  redis.call('ZREM', DUE, alarm)
  match()
  return reply('OK')
end
local c = get(CHAT, ARGV[4])
local q = c and c.state == 'waiting' and c.ask
if not q or q.id ~= ARGV[5] or q.ops or q.n ~= (c.tries or 0) or NOW >= q.till then return reply('LATE') end
q.ops = ARGV[6]
putChat(c)
redis.call('ZREM', DUE, alarm)
match()
return reply('OK')
