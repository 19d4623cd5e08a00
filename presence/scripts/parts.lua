-- The prelude's fifth file: who takes part in a chat besides its holder, and who is
-- asked to. What stands before it calls it through the table parts, so it may stand behind.
--
-- The holder is c.op and nobody else: work chat:<id>, in units of capacity. Fields of
-- an active chat's record, absent at rest:
--   with     {operator: {r kind, n name, at Redis ms, tok of the invite}}
--   invites  {operator: {k transfer | join | consult, tok, by who asks (o5), n name, t team, size, over, text}};
--            each has the deadline part/org/chat/operator
-- and over: 1, the holder got it over their limit, by permission.
-- Kinds of part (r; role in frames): join (the visitor sees them, they write to the visitor), consult (read, and
-- write notes), monitor (as consult; neither visitor nor operators are told).
-- Work of a part: join:<id>, consult:<id>, unseen:<id> (no units); of an invite
-- invite:<id>, with the units of the chat where it is to be handed over.
-- Stays true  who has a part or an invite holds its work, and the other way round;
--             both end with the chat's time of being active, with the sign-out of the
--             operator and with the end of their grace.
local WORK = {join = 'join:', consult = 'consult:', monitor = 'unseen:'}
parts.WORK = WORK

local function ids(t) -- of a table by operator, in one order
  local list = {}
  for id in pairs(t or {}) do list[#list + 1] = id end
  table.sort(list, function(a, b) return #a < #b or (#a == #b and a < b) end)
  return list
end
-- visible lists those besides the holder whom the visitor sees, nil for none.
function parts.visible(c)
  local list = {}
  for _, id in ipairs(ids(c.with)) do
    if c.with[id].r == 'join' then list[#list + 1] = {id = tonumber(id), name = c.with[id].n} end
  end
  return list[1] and list or nil
end
-- people lists those whom operators see, and who is asked; nil for none.
function parts.people(c)
  local with, asked = {}, {}
  for _, id in ipairs(ids(c.with)) do
    local w = c.with[id]
    if w.r ~= 'monitor' then with[#with + 1] = {id = tonumber(id), name = w.n, role = w.r} end
  end
  for _, id in ipairs(ids(c.invites)) do
    local v = c.invites[id]
    asked[#asked + 1] = {id = tonumber(id), name = v.n, role = v.k == 'transfer' and 'hold' or v.k}
  end
  return with[1] and with or nil, asked[1] and asked or nil
end

local function holder(c) return {id = c.op, name = c.opname, away = c.lost and true or nil} end
-- frame is an active chat as its operators are told of it.
function parts.frame(c)
  local v, link = c.info or {}, linkOf(c.visitor)
  local f = {t = 'chat', chat = c.id, state = c.state, team = c.team, since = c.since,
    visitor = {id = c.visitor, name = v.name, email = v.email, page = v.page}, here = (link and link ~= '-') and true or false,
    operator = c.op and holder(c) or nil, silent = c.dozes and true or nil}
  f.with, f.invites = parts.people(c)
  return f
end
-- toOperators tells each operator of a chat where it stands, with the kind of their part.
function parts.toOperators(c, f)
  local record, roles = '\t' .. encoded(c), {}
  tell({'o' .. int(c.op)}, 'k', cjson.encode(f) .. record)
  for _, id in ipairs(ids(c.with)) do
    local r = c.with[id].r
    roles[r] = roles[r] or {}
    table.insert(roles[r], 'o' .. id)
  end
  for r, persons in pairs(roles) do
    f.role = r
    tell(persons, 'k', cjson.encode(f) .. record)
  end
  f.role = nil
end
-- changed tells who must know that a part of a kind (role), or an invite to it, has begun or ended:
-- nobody of a monitor, and the visitor of who is seen.
function parts.changed(c, role)
  if c.state ~= 'active' or role == 'monitor' then return end
  parts.toOperators(c, parts.frame(c))
  if role ~= 'join' then return end
  tell({c.visitor}, 'k', cjson.encode({t = 'chat', chat = c.id, state = c.state, team = c.team, since = c.since,
    operator = holder(c), with = parts.visible(c)}) .. '\t' .. cjson.encode(c))
end
function parts.gone(persons, c, reason)
  tell(persons, 'k', cjson.encode({t = 'chat.gone', chat = c.id, state = c.state, reason = reason}) .. '\t' .. cjson.encode(c))
end
local function audit(what, id, c, by)
  redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', what, 'who', id, 'chat', int(c.id), 'by', by)
end
parts.audit = audit

-- out ends an operator's part in a chat; the caller settles the operator.
function parts.out(rec, cid, reason, by)
  local c, id = get(CHAT, cid), int(rec.id)
  for _, kind in pairs(WORK) do drop(rec, kind .. cid) end
  local w = c and c.with and c.with[id]
  if not w then return false end
  c.with[id] = nil
  if not next(c.with) then c.with = nil end
  putChat(c)
  if w.r == 'monitor' then audit('monitoring ended', id, c, by or 'o' .. id) end
  parts.gone({'o' .. id}, c, reason)
  parts.changed(c, w.r)
  return true
end
-- uninvite ends an invite that was not accepted; the caller settles the operator.
function parts.uninvite(rec, cid, reason)
  local c, id = get(CHAT, cid), int(rec.id)
  drop(rec, 'invite:' .. cid)
  redis.call('ZREM', DUE, 'part/' .. org .. '/' .. cid .. '/' .. id)
  local v = c and c.invites and c.invites[id]
  if not v then return nil end
  c.invites[id] = nil
  if not next(c.invites) then c.invites = nil end
  putChat(c)
  tell({'o' .. id}, 'e', {t = 'offer.gone', chat = c.id, reason = reason})
  local who = {v.by}
  if c.op and v.by ~= 'o' .. int(c.op) then who[2] = 'o' .. int(c.op) end
  tell(who, 'e', {t = 'invite.gone', chat = c.id, operator = {id = rec.id, name = rec.name}, role = v.k == 'transfer' and 'hold' or v.k, reason = reason})
  parts.changed(c, 'consult') -- visitors are told of no invite
  return v.k
end
-- all ends every part of an operator.
function parts.all(rec, reason)
  local items = {}
  for item in pairs(rec.work or {}) do
    local kind, cid = string.match(item, '^(%a+):(.+)$')
    if kind == 'join' or kind == 'consult' or kind == 'unseen' then items[#items + 1] = cid end
  end
  for _, cid in ipairs(items) do parts.out(rec, cid, reason) end
end
-- disband ends every part and invite of a chat whose holder loses it, or that ends.
-- The caller stores the chat, and has no record of these operators open. invite: why
-- invites end, superseded where it is left out.
function parts.disband(c, reason, invite)
  local with, invites, cid = c.with, c.invites, int(c.id)
  if not with and not invites then return end
  c.with, c.invites = nil, nil
  for _, id in ipairs(ids(with)) do
    local rec = open(id)
    if with[id].r == 'monitor' then audit('monitoring ended', id, c, '') end
    parts.gone({'o' .. id}, c, reason)
    if rec and drop(rec, WORK[with[id].r] .. cid) then settle(rec) end
  end
  for _, id in ipairs(ids(invites)) do
    local rec = open(id)
    redis.call('ZREM', DUE, 'part/' .. org .. '/' .. cid .. '/' .. id)
    tell({'o' .. id}, 'e', {t = 'offer.gone', chat = c.id, reason = invite or 'superseded'})
    if rec and drop(rec, 'invite:' .. cid) then settle(rec) end
  end
end
