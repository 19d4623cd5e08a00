-- why: what a chat waits for, and of each operator of its team the rule that keeps the
-- chat from them now (A-10). The rules are the claim's own: suits() decides here too.
-- ARGV 3 nonce (unused); 4 chat id; 5 cursor, '0' for the first page; 6 operators
--   looked at (at most 200)
-- Returns OK, chat JSON, its place (0 unless waiting), what the whole chat waits for ('':
--   for one of the rules below), now, cursor of the next page ('0': this was the last),
--   then for each: id, name, rule ('': none), units held, limit, what is missing ('' or skill=level)
--   | NOTFOUND
-- Changes nothing. A page has the team's members among those looked at, maybe none.
local c = get(CHAT, ARGV[4])
if not c then return reply('NOTFOUND') end
local tm, step = team(c.team), stepOf(c)
local need, waits = step and step.need, ''
if c.state ~= 'waiting' then waits = c.state
elseif NOW < HOLD then waits = 'failover'
elseif not tm then waits = 'no_team'
elseif held(c, tm) then waits = 'closed'
elseif tm.strategy == 'pick' then waits = 'pick'
elseif c.still then waits = 'still'
elseif c.last and c.lastuntil and NOW < c.lastuntil then waits = 'last'
elseif c.ask and not c.ask.ops and NOW < c.ask.till then waits = 'webhook' end
local page = redis.call('HSCAN', OP, ARGV[5], 'COUNT', ARGV[6])
local out = {}
for k = 1, #page[2], 2 do
  local rec = get(OP, page[2][k])
  local member = rec and rec.account ~= 2 and c.team == 0
  for _, t in ipairs(rec and rec.account ~= 2 and rec.teams or {}) do member = member or t == c.team end
  if member then
    local op, n = int(rec.id), tally(rec)
    local fits, rule = suits(op, units(tm or {}), need)
    local past = c.declined and c.declined[op]
    if fits and past then rule = past > NOW and 'declined' or 'passed' end
    local missing = {}
    for skill, level in pairs(rule == 'skill' and need or {}) do
      if ((rec.skills or {})[skill] or 0) < level then missing[#missing + 1] = skill .. '=' .. int(level) end
    end
    table.sort(missing)
    for _, v in ipairs({op, rec.name, rule or '', int(n.units), int(limit(rec)), table.concat(missing, ',')}) do out[#out + 1] = v end
  end
end
return reply('OK', cjson.encode(c), c.state == 'waiting' and place(c) or 0, waits, int(NOW), page[1], unpack(out))
