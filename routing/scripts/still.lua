-- still: the visitor of a waiting chat, who was asked whether they are still there
-- (match.lua, there), answers, in words of
-- their own (append.lua has noted it then) or not; or the time to answer is over.
-- ARGV 3 nonce; 4 chat id; 5 who answers ('' when the deadline rings); 6 ms until a
--   parked chat is closed
-- Returns OK | NOTFOUND: not this visitor's
-- Stays true: without an answer no operator is asked; the chat is parked, and comes back
--   to its place with a late answer or a return of the visitor, or it is closed, as its
--   team says (V-1).
local cid, alarm = ARGV[4], 'still/' .. org .. '/' .. ARGV[4]
local c = get(CHAT, cid)
local silent = 'silent/' .. org .. '/' .. cid
local answered = ARGV[5] ~= ''
if answered then
  if not c or c.visitor ~= ARGV[5] then return reply('NOTFOUND') end
  if not c.still and not redis.call('ZSCORE', DUE, alarm) then return reply('OK') end
else
  if not rung(alarm) then return reply('OK') end
  answered = c and not c.still -- by a message (append.lua), and nobody has acted on it yet
end
redis.call('ZREM', DUE, alarm)
if answered then
  c.seen, c.still = math.max(c.seen or 0, ARGV[5] ~= '' and NOW or 0), nil
  if c.state == 'parked' and not c.op and linkOf(c.visitor) then
    redis.call('ZREM', DUE, silent)
    enqueue(c)
  else
    putChat(c)
  end
  if match() == 0 then castQueue() end
  c = get(CHAT, cid)
  if c.state ~= 'active' then tellVisitor(c) end
  return reply('OK')
end
if not c or c.state ~= 'waiting' then return reply('OK') end
local tm = team(c.team) or {}
if tm.gone ~= 'ask' then -- another policy since
  c.still = nil
  putChat(c)
  match()
  return reply('OK')
end
redis.call('ZREM', QUEUE, cid)
c.state = 'parked' -- the question stays: it may be answered late
putChat(c)
castQueue()
redis.call('ZADD', DUE, int(NOW + (tm.still_then == 'remove' and 0 or ARGV[6])), silent)
match()
return reply('OK')
