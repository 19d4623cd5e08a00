-- join: a supervisor comes into a chat without being asked.
-- ARGV 3 nonce; 4 operator id; 5 chat id; 6 kind of part: monitor | join | hold
-- Returns OK, chat JSON, '1' when the visitor is connected | NOTFOUND | FORBIDDEN | NOTACTIVE
--   | BARRED, why | CROWDED | AWAY
-- Stays true: nobody but the supervisor is told of a monitor, and the audit has it. A chat
--   is taken over in one step: it has one holder throughout; over the limit is audited.
--   Repeating it is OK; another kind replaces the one they have.
local c, rec = get(CHAT, ARGV[5]), open(ARGV[4])
if not c or not rec then return reply('NOTFOUND') end
if not supervises(rec) then return reply('FORBIDDEN') end
local id, role, link = int(rec.id), ARGV[6], linkOf(c.visitor)
local here, has = (link and link ~= '-') and '1' or '0', c.with and c.with[id]
if c.state == 'active' and c.op == rec.id then
  if role == 'hold' then return reply('OK', cjson.encode(c), here) end
  return reply('NOTACTIVE') -- they hold it
end
if has and has.r == role then return reply('OK', cjson.encode(c), here) end
if role ~= 'hold' then
  if c.state ~= 'active' then return reply('NOTACTIVE') end
  if not has then
    local no, why = mayCome(rec, c, role)
    if no then return reply(no, why) end
  elseif absent(rec) then
    return reply('BARRED', absent(rec))
  elseif role == 'join' and crowded(c, role) then -- who monitored was not among its people
    return reply('CROWDED')
  end
  if c.invites and c.invites[id] then -- behind every refusal: enter settles
    parts.uninvite(rec, ARGV[5], 'superseded')
    c = get(CHAT, ARGV[5])
  end
  parts.audit(role == 'monitor' and 'monitoring' or 'barge in', id, c, 'o' .. id)
  enter(c, rec, role, nil)
  return reply('OK', cjson.encode(get(CHAT, ARGV[5])), here)
end
local why = absent(rec)
if why then return reply('BARRED', why) end
if c.state == 'parked' then return reply('AWAY') end
local tm = team(c.team) or {}
local over = tally(rec).units + units(tm) - kept(rec, c) > limit(rec)
if over then passed(rec, c, units(tm), rec) end
if c.state == 'active' then
  c = hand(c, rec, c.team, tm, NONCE .. '.' .. int(c.id), 'o' .. id, 'take over', over)
  match()
  return reply('OK', cjson.encode(c), here)
end
c.over = over and 1 or nil
c.tries = (c.tries or 0) + 1
rec.last = nextTurn()
moved(c, 'o' .. id, id, '0', c.team, 'take over')
activate(c, rec, NONCE .. '.' .. c.tries)
tellChat(c)
match()
castQueue()
return reply('OK', cjson.encode(c), here)
