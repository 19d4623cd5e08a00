-- come: an operator accepts an invite to a chat.
-- ARGV 3 nonce; 4 operator id; 5 chat id; 6 token of the invite
-- Returns OK, chat JSON, '1' when the visitor is connected
--   | STALE (the invite is over, or was another's), who holds the chat (0: nobody), their name | CLOSED
-- Stays true: only this invite's token counts; repeating it is OK. A hand-over and the
--   end of the other's time with the chat are one step: it has one holder throughout.
--   The units were the operator's from the invite on, so no limit is passed here.
local c, rec = get(CHAT, ARGV[5]), open(ARGV[4])
if not c or not rec then return reply('CLOSED') end
local id, link = int(rec.id), linkOf(c.visitor)
local here, v, w = (link and link ~= '-') and '1' or '0', c.invites and c.invites[id], c.with and c.with[id]
if (c.op == rec.id and c.state == 'active' and c.token == ARGV[6]) or (w and w.tok == ARGV[6]) then return reply('OK', cjson.encode(c), here) end
if not v or v.tok ~= ARGV[6] then
  if c.state ~= 'active' then return reply('STALE', 0, '') end
  return reply('STALE', int(c.op), c.opname or '')
end
rec.missed = nil
if v.k == 'transfer' then
  c = hand(c, rec, v.t, team(v.t) or {}, v.tok, v.by, 'transfer', v.over)
  match()
  return reply('OK', cjson.encode(c), here)
end
drop(rec, 'invite:' .. int(c.id))
redis.call('ZREM', DUE, 'part/' .. org .. '/' .. int(c.id) .. '/' .. id)
c.invites[id] = nil
if not next(c.invites) then c.invites = nil end
tell({'o' .. id}, 'e', {t = 'offer.gone', chat = c.id, reason = 'accepted'})
enter(c, rec, v.k, v.tok)
return reply('OK', cjson.encode(get(CHAT, ARGV[5])), here)
