-- claim: an operator takes a waiting chat of their choice.
-- ARGV 3 nonce; 4 operator id; 5 chat id; 6 '1': also over the limit
-- Returns OK, chat JSON, '1' when the visitor is connected | TAKEN, who has it (0:
--   it is being offered), their name | CLOSED | NOTTEAM | UNSKILLED | FULL: at the limit
--   | OVER: over the limit without the permission | BARRED, why (operator.lua, barrier)
-- Stays true: of many who claim one wins; over the limit only with the permission,
--   and each time is audited (A-12). Repeating a claim that won is OK.
local c, rec = get(CHAT, ARGV[5]), open(ARGV[4])
if not c or not rec then return reply('CLOSED') end
local link = linkOf(c.visitor)
local here = (link and link ~= '-') and '1' or '0'
if c.state == 'active' and c.op == rec.id then return reply('OK', cjson.encode(c), here) end
if c.state == 'active' then return reply('TAKEN', int(c.op), c.opname or '') end
if c.state ~= 'waiting' then return reply('TAKEN', 0, '') end
local member, tm = c.team == 0, team(c.team) or {}
for _, t in ipairs(rec.teams or {}) do member = member or t == c.team end
if not member then return reply('NOTTEAM') end
local n = tally(rec)
local why = barrier(rec, linkOf('o' .. rec.id), n)
if why then return reply('BARRED', why) end
local step = stepOf(c)
if step and step.need and not meets(rec, step.need) then return reply('UNSKILLED') end
if n.units + units(tm) > limit(rec) then
  if ARGV[6] ~= '1' then return reply('FULL') end
  if not rec.over and rec.role ~= 'supervisor' and rec.role ~= 'admin' then return reply('OVER') end
  redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'over the limit', 'who', int(rec.id), 'chat', int(c.id),
    'units', n.units + units(tm), 'limit', limit(rec))
end
c.tries = (c.tries or 0) + 1
rec.last = nextTurn()
activate(c, rec, NONCE .. '.' .. c.tries)
tellChat(c)
castQueue()
return reply('OK', cjson.encode(c), here)
