-- part: somebody's part in a chat, or an invite to it, is ended by hand.
-- ARGV 3 nonce; 4 operator who asks; 5 chat id; 6 operator whose part it is
-- Returns OK | NOTFOUND | FORBIDDEN | HOLDER: who holds a chat transfers or closes it
-- Stays true: everybody may go; its operator, a supervisor and who invited them may
--   send others away, but nobody whom they cannot see.
local c, who = get(CHAT, ARGV[5]), open(ARGV[4])
if not c or not who then return reply('NOTFOUND') end
local holder, id, asker = c.state == 'active' and c.op == who.id, ARGV[6], int(who.id)
local w, v = c.with and c.with[id], c.invites and c.invites[id]
if id == asker and holder then return reply('HOLDER') end
if id ~= asker and not supervises(who) and not holder and not (v and v.by == 'o' .. asker) then
  return reply(c.with and c.with[asker] and 'FORBIDDEN' or 'NOTFOUND')
end
if w and w.r == 'monitor' and id ~= asker and not supervises(who) then return reply('NOTFOUND') end
if not w and not v then return reply(id == asker and 'OK' or 'NOTFOUND') end
local rec = id == asker and who or open(id)
if not rec then return reply('NOTFOUND') end
if v then parts.uninvite(rec, ARGV[5], 'withdrawn') end
if w then parts.out(rec, ARGV[5], id == asker and 'left' or 'removed', 'o' .. asker) end
settle(rec)
if v then match() end -- units were kept for it
return reply('OK')
