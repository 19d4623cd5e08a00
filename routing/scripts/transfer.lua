-- transfer: an open chat goes to a person, or into a team's queue.
-- ARGV 3 nonce; 4 operator who asks; 5 chat id; 6 operator it is for, '' for the team;
--   7 team, '' for the chat's own; 8 '1': also over the limit; 9 text for the person
--   (at most 500 bytes); 10 '1': into the queue, whether or not anybody answers there
-- Returns OK, outcome, chat JSON, place in the queue (0: it does not wait); outcomes:
--   asked    a person was asked; the chat stays whose it is until they accept
--   moved    the person holds it now: they took part in it already, or the team
--            accepts by itself
--   offered  it is offered to the person, or to one of the team; queued  it waits
--   | NOTFOUND | FORBIDDEN | NOTEAM | NOTTEAM | UNSKILLED | BARRED, why | FULL | OVER
--   | SELF | PENDING, name: another is asked already | AWAY: its visitor is gone
--   | SHUT: nobody of the team answers now | LONG: its queue has its length
--   | NOBODY: no such operator | CROWDED | OUTDATED, team
-- Stays true: its operator, or a supervisor, moves a chat; refused leaves everything as
--   it was (A-14). In a queue it keeps its rank and its waiting time, so it stands before
--   all who came after its start; who gave it away is asked again only while nobody
--   else can be, after the team's pause. Everybody else's part in it ends then.
local c, who = get(CHAT, ARGV[5]), open(ARGV[4])
if not c or not who then return reply('NOTFOUND') end
local mine = c.state == 'active' and c.op == who.id
if not mine and not supervises(who) then
  return reply((c.with and c.with[int(who.id)] or c.invites and c.invites[int(who.id)]) and 'FORBIDDEN' or 'NOTFOUND')
end
local t = ARGV[7] ~= '' and tonumber(ARGV[7]) or c.team
local tm = team(t)
if not tm then return reply('NOTEAM') end

if ARGV[6] ~= '' then
  local to = open(ARGV[6])
  if not to then return reply('NOBODY') end
  if int(to.id) == int(who.id) then to = who end -- one record, not two copies
  if c.op == to.id and c.state == 'active' then return reply('SELF') end
  for id, v in pairs(c.invites or {}) do
    if v.k == 'transfer' then return reply('PENDING', v.n) end
    if id == int(to.id) then return reply('PENDING', v.n) end
  end
  local no, over = mayHold(to, c, t, tm, ARGV[8], who)
  if no then return reply(no, over) end
  local has = seen((c.with or {})[int(to.id)])
  if c.state == 'parked' then return reply('AWAY') end
  if c.state == 'active' and not has and crowded(c) then return reply('CROWDED') end
  if over then passed(to, c, units(tm), who) end
  if c.state == 'active' and has then
    c = hand(c, to, t, tm, NONCE .. '.' .. int(c.id), 'o' .. int(who.id), 'transfer', over)
    match()
    return reply('OK', 'moved', cjson.encode(c), 0)
  end
  if c.state == 'active' then
    ask(c, to, 'transfer', t, units(tm), who, over, ARGV[9])
    return reply('OK', 'asked', cjson.encode(get(CHAT, ARGV[5])), 0)
  end
  c = unoffer(c)
  to = open(ARGV[6]) -- an offer of theirs may have been among them
  if t ~= c.team then
    inTeam(c, t, tm)
    stand(c)
  end
  c.over = over and 1 or nil
  moved(c, 'o' .. int(who.id), int(to.id), '0', t, 'transfer')
  give(c, {to}, tm)
  match() -- whom it was offered to before
  castQueue()
  c = get(CHAT, ARGV[5])
  if c.state ~= 'active' then tellVisitor(c) end
  return reply('OK', c.state == 'active' and 'moved' or 'offered', cjson.encode(c), 0)
end

if outdated(tm) then return reply('OUTDATED', tm.open and int(t) or '0') end
if ARGV[10] ~= '1' and (admit(tm) ~= 'serve' or not staffed(tm)) then return reply('SHUT') end
if tm.queue_max and t ~= c.team and ahead(tm) >= tm.queue_max then return reply('LONG') end
local from, was = c.state == 'active' and c.op, c.state
c = unoffer(c)
if from then
  local had = from == who.id and who or open(int(from))
  parts.disband(c, 'transfer')
  if had then
    finish(had, 'chat:' .. int(c.id))
    settle(had)
  end
  c.declined = {[int(from)] = NOW + (tm.pause_ms or 10000)}
  later(tm.pause_ms or 10000, 'again/' .. org .. '/' .. int(c.id))
elseif t ~= c.team then
  c.declined = nil
end
if t ~= c.team then inTeam(c, t, tm) end
c.last, c.lastuntil = nil, nil
c.held = shut(tm) and tm.closed ~= 'serve' or nil
moved(c, 'o' .. int(who.id), '', int(from or 0), t, 'transfer')
if from and not linkOf(c.visitor) and (tm.gone or 'park') ~= 'offer' then -- V-1
  stand(c)
  c.state, c.op, c.opname, c.token, c.over = 'parked', nil, nil, nil, nil
  putChat(c)
elseif was == 'parked' then
  stand(c)
  putChat(c)
else
  enqueue(c)
end
if from then parts.gone({'o' .. int(from)}, c, 'transfer') end
if match() == 0 then castQueue() end
c = get(CHAT, ARGV[5])
if c.state ~= 'active' then tellVisitor(c) end
local outcome = c.state == 'active' and 'moved' or c.state == 'offered' and 'offered' or 'queued'
return reply('OK', outcome, cjson.encode(c), outcome == 'queued' and c.state == 'waiting' and place(c) or 0)
