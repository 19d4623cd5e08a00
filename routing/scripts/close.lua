-- close: a chat ends.
-- KEYS 17 log; 18 message ids; 19 typing; 20 viewing; 21 closed record
-- ARGV 3 nonce; 4 person who closes ('' for the system); 5 chat id; 6 reason;
--   7 retention in ms; 8 '1': may close any chat; 9 alarm that asks ('' for none)
-- Returns OK, closed chat JSON | FORBIDDEN | NOTFOUND
-- Stays true: closing twice is OK; the slot is freed, a waiting logout completes
--   and the next chat is matched in this same step.
if ARGV[9] ~= '' then
  if not rung(ARGV[9]) then return reply('OK', '') end
  redis.call('ZREM', DUE, ARGV[9])
end
local c = get(CHAT, ARGV[5])
if not c then
  local closed = redis.call('GET', KEYS[21])
  if not closed then return reply('NOTFOUND') end
  -- Who had no part in it learns nothing of it, as while it was open.
  local was, who = cjson.decode(closed), ARGV[4]
  local op = string.match(who, '^o(%d+)$')
  if who == '' or ARGV[8] == '1' or who == was.visitor or (op and was.ops and was.ops[op]) then return reply('OK', closed) end
  return reply('FORBIDDEN')
end
local who = ARGV[4]
local party = who == '' or ARGV[8] == '1' or who == c.visitor or (c.state == 'active' and who == 'o' .. int(c.op))
if not party then return reply('FORBIDDEN') end
local rec = c.op and open(int(c.op))
if c.state == 'waiting' then
  redis.call('ZREM', QUEUE, c.id)
elseif c.state == 'offered' then
  drop(rec, 'offer:' .. c.id)
  tell({'o' .. rec.id}, 'e', {t = 'offer.gone', chat = c.id, reason = who == c.visitor and 'visitor_left' or 'withdrawn'})
elseif rec then
  finish(rec, 'chat:' .. c.id)
end
for _, kind in ipairs({'offer/', 'again/', 'silent/'}) do redis.call('ZREM', DUE, kind .. org .. '/' .. c.id) end
local queued = c.state == 'waiting'
if c.state ~= 'active' then c.op, c.opname = nil, nil end
c.state, c.reason, c.closed, c.token, c.by = 'closed', ARGV[6], NOW, nil, who
redis.call('HDEL', CHAT, c.id)
if redis.call('HGET', VIS, c.visitor) == int(c.id) then redis.call('HDEL', VIS, c.visitor) end
local json = cjson.encode(c)
redis.call('SET', KEYS[21], json, 'PX', ARGV[7])
redis.call('PEXPIRE', KEYS[17], ARGV[7])
redis.call('PEXPIRE', KEYS[18], ARGV[7])
redis.call('DEL', KEYS[19], KEYS[20])
tellChat(c)
if rec then settle(rec) end
if queued then castQueue() end
if match() == 0 and redis.call('EXISTS', QUEUE) == 0 then redis.call('ZREM', DUE, 'queue/' .. org .. '/0') end
return reply('OK', json)
