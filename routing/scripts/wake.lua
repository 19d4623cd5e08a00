-- wake: the visitor of a chat that takes no units has written: it takes them again.
-- ARGV 3 nonce; 4 chat id
-- Returns OK, '1' when it took them now
-- Stays true: it stays with its operator even over the limit, and that is audited: no
--   new chat comes before they are below it again (A-12).
local alarm = 'wake/' .. org .. '/' .. ARGV[4]
if not rung(alarm) then return reply('OK', '0') end
redis.call('ZREM', DUE, alarm)
local c = get(CHAT, ARGV[4])
local rec = c and c.state == 'active' and c.dozes and open(int(c.op))
if not rec then return reply('OK', '0') end
local tm = team(c.team) or {}
hold(rec, 'chat:' .. ARGV[4], units(tm))
local held, most = tally(rec).units, limit(rec)
c.dozes, c.back = nil, held > most and 1 or nil
putChat(c)
if c.back then
  redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'over the limit', 'who', int(rec.id), 'chat', int(c.id),
    'units', held, 'limit', most, 'why', 'a silent chat came back')
end
if tm.silent_ms then later(tm.silent_ms, 'doze/' .. org .. '/' .. ARGV[4]) end
settle(rec)
tellOperator(c)
return reply('OK', '1')
