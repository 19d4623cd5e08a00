-- drop: a chat whose operator is lost is closed with its team's words (loss policy
-- "close"; lost.lua has set the deadline).
-- KEYS 20..24 as in closing.lua
-- ARGV 3 nonce; 4 chat id; 5 retention in ms; 6 words where the team has none
-- Returns OK, closed chat JSON ('' when it was not closed)
-- Stays true: an operator who is back keeps the chat.
local alarm = 'drop/' .. org .. '/' .. ARGV[4]
if not rung(alarm) then return reply('OK', '') end
redis.call('ZREM', DUE, alarm)
local c = get(CHAT, ARGV[4])
if not c or c.state ~= 'active' or not c.lost then return reply('OK', '') end
local rec = open(int(c.op))
if rec and rec.account ~= 2 and linkOf('o' .. int(c.op)) then
  c.lost = nil
  putChat(c)
  tellVisitor(c)
  return reply('OK', '')
end
c.lost = nil
say(c, (team(c.team) or {}).loss_text or ARGV[6])
local json = closeChat(c, '', 'operator_lost', ARGV[5])
match()
return reply('OK', json)
