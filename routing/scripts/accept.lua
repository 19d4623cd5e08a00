-- accept: an operator takes the chat that is offered to them; the first of several wins.
-- ARGV 3 nonce (unused); 4 operator id; 5 chat id; 6 offer token
-- Returns OK, chat JSON, '1' when the visitor is connected, '1' when it was accepted before
--   | STALE (the offer is over, or was another's), who holds the chat (0: nobody), their name | CLOSED
-- Stays true: only this offer's token counts; repeating it is OK.
local c, rec = get(CHAT, ARGV[5]), open(ARGV[4])
if not c or not rec then return reply('CLOSED') end
local mine = c.op == rec.id and c.state == 'active' and c.token == ARGV[6]
local offered = c.state == 'offered' and c.offers[int(rec.id)] == ARGV[6]
if not mine and not offered then
  if c.state ~= 'active' then return reply('STALE', 0, '') end
  return reply('STALE', int(c.op), c.opname or '')
end
local link = linkOf(c.visitor)
local here = (link and link ~= '-') and '1' or '0'
if mine then return reply('OK', cjson.encode(c), here, '1') end
rec.missed = nil
activate(c, rec, ARGV[6])
tell({'o' .. int(rec.id)}, 'e', {t = 'offer.gone', chat = c.id, reason = 'accepted'})
tellChat(c)
return reply('OK', cjson.encode(c), here)
