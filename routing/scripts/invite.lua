-- invite: an operator is asked to come into an active chat.
-- ARGV 3 nonce; 4 operator who asks; 5 chat id; 6 operator who is asked; 7 kind of part:
--   consult | join; 8 text for them (at most 500 bytes)
-- Returns OK, chat JSON | NOTFOUND | FORBIDDEN | NOTACTIVE | NOBODY | SELF | BARRED, why
--   | PENDING, name | CROWDED
-- Stays true: its operator, one who has joined, or a supervisor asks; who is asked for a
--   part they have already hears SELF. No capacity is taken.
local c, who = get(CHAT, ARGV[5]), open(ARGV[4])
if not c or not who then return reply('NOTFOUND') end
local part = c.with and c.with[int(who.id)]
if not (c.state == 'active' and c.op == who.id) and not (part and part.r == 'join') and not supervises(who) then
  return reply(part and 'FORBIDDEN' or 'NOTFOUND')
end
if c.state ~= 'active' then return reply('NOTACTIVE') end
local rec = open(ARGV[6])
if not rec then return reply('NOBODY') end
local id = int(rec.id)
local has = c.with and c.with[id]
if c.op == rec.id or id == int(who.id) or (has and (has.r == ARGV[7] or has.r == 'join')) then return reply('SELF') end
if c.invites and c.invites[id] then return reply('PENDING', rec.name) end
local no, why = mayCome(rec, c, ARGV[7])
if no then return reply(no, why) end
ask(c, rec, ARGV[7], c.team, 0, who, nil, ARGV[8])
return reply('OK', cjson.encode(get(CHAT, ARGV[5])))
