-- close: a chat ends.
-- KEYS 20..24 as in closing.lua
-- ARGV 3 nonce; 4 person who closes ('' for the system); 5 chat id; 6 reason;
--   7 retention in ms; 8 '1': may close any chat; 9 alarm that asks ('' for none)
-- Returns OK, closed chat JSON, '1' when it was closed before | FORBIDDEN | NOTFOUND
-- Stays true: closing twice is OK; the next chat is matched in this same step.
if ARGV[9] ~= '' then
  if not rung(ARGV[9]) then return reply('OK', '') end
  redis.call('ZREM', DUE, ARGV[9])
end
local c = get(CHAT, ARGV[5])
if not c then
  local closed = redis.call('GET', KEYS[24])
  if not closed then return reply('NOTFOUND') end
  -- Who had no part in it learns nothing of it, as while it was open.
  local was, who = cjson.decode(closed), ARGV[4]
  local op = string.match(who, '^o(%d+)$')
  if who == '' or ARGV[8] == '1' or who == was.visitor or (op and was.ops and was.ops[op]) then return reply('OK', closed, '1') end
  return reply('FORBIDDEN')
end
local who = ARGV[4]
local party = who == '' or ARGV[8] == '1' or who == c.visitor or (c.state == 'active' and who == 'o' .. int(c.op))
if not party then return reply('FORBIDDEN') end
local json = closeChat(c, who, ARGV[6], ARGV[7])
if match() == 0 and redis.call('EXISTS', QUEUE) == 0 then redis.call('ZREM', DUE, 'queue/' .. org .. '/0') end
return reply('OK', json)
