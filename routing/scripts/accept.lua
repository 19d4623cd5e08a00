-- accept: an operator takes the chat that is offered to them.
-- ARGV 3 nonce (unused); 4 operator id; 5 chat id; 6 offer token
-- Returns OK, chat JSON, '1' when the visitor is connected | STALE: the offer is over, or was another's | CLOSED
-- Stays true: only this offer's token counts; repeating it is OK.
local c, rec = get(CHAT, ARGV[5]), open(ARGV[4])
if not c or not rec then return reply('CLOSED') end
if c.op ~= rec.id or c.token ~= ARGV[6] then return reply('STALE') end
local link = redis.call('HGET', LINK, c.visitor)
local here = (link and link ~= '-') and '1' or '0'
if c.state == 'active' then return reply('OK', cjson.encode(c), here) end
c.state, c.declined = 'active', nil
c.ops[tostring(rec.id)] = 1
rec.missed = nil
drop(rec, 'offer:' .. c.id)
hold(rec, 'chat:' .. c.id)
redis.call('ZREM', DUE, 'offer/' .. org .. '/' .. c.id)
putChat(c)
settle(rec)
tell({'o' .. rec.id}, 'e', {t = 'offer.gone', chat = c.id, reason = 'accepted'})
tellChat(c)
return reply('OK', cjson.encode(c), here)
