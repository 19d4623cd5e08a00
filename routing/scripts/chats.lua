-- How a chat waits and is answered: its place, its group, what people are told of it.
-- Stands behind presence's prelude and open.lua, in front of match.lua, whose header has
-- the keys.
-- each run:
local NONCE = ARGV[3]
local DECIDED = KEYS[17]
-- once:

local function visitorOf(c)
  local v = c.info or {}
  return {id = c.visitor, name = v.name, email = v.email, page = v.page}
end
-- bands returns the groups that the chats of a team may wait in.
local function bands(tm)
  local out = {tm.group}
  for _, g in pairs(tm.groups or {}) do out[#out + 1] = g.g end
  return out
end
-- ahead counts the chats of a team up to a rank; without one, all.
local function ahead(tm, rank)
  local n = 0
  for _, g in ipairs(bands(tm)) do
    n = n + redis.call('ZCOUNT', QUEUE, int(g * BAND), rank and int(g * BAND + rank) or '(' .. int((g + 1) * BAND))
  end
  return n
end
-- place in the queue, 1 is next; chats of other teams do not count
local function place(c) return team(c.team) and ahead(team(c.team), c.rank) or 1 end
local function forVisitor(c)
  local f = {t = 'chat', chat = c.id, state = c.state, team = c.team, since = c.since, reason = c.reason}
  if c.state == 'offered' or (c.state == 'parked' and not c.op) then f.state = 'waiting' end
  if c.state == 'waiting' then f.place, f.opens = place(c), opensFor(c) end
  if c.state == 'waiting' or c.state == 'parked' then f.still = c.still end
  if c.op and c.state ~= 'offered' then f.operator = {id = c.op, name = c.opname, away = c.lost and true or nil} end
  f.with = parts.visible(c)
  return f
end
local function forOperator(c)
  local f = forVisitor(c)
  f.state, f.visitor, f.silent = c.state, visitorOf(c), c.dozes and true or nil
  local link = linkOf(c.visitor)
  f.here = (link and link ~= '-') and true or false
  f.with, f.invites = parts.people(c)
  return f
end
-- A party's nodes get the chat's record with it and keep it, to assert it when a
-- failover loses it (restore.lua).
local function tellVisitor(c) tell({c.visitor}, 'k', cjson.encode(forVisitor(c)), encoded(c)) end
local function tellOperator(c) parts.toOperators(c, forOperator(c)) end
local function tellChat(c)
  tellVisitor(c)
  if c.op and c.state ~= 'offered' then tellOperator(c) end
end

-- groupOf returns the group of a requirement in a team, a new one where it is
-- new: pair.lua then fills it. With 256 groups in use the chat waits with those
-- of its team, and the claim looks for who meets the requirement.
local function groupOf(t, tm, step)
  if not step or step.key == '' then return tm.group end
  local g = tm.groups and tm.groups[step.key]
  if g and not g.x then
    if NOW - g.u > 600000 then
      g.u = NOW
      put(TEAM, tostring(t), tm)
    end
    return g.g
  end
  if not g then
    local used, n = get(ORG, 'groups') or {}, 256
    while n < 512 and used[tostring(n)] do n = n + 1 end
    if n == 512 then return tm.group end
    used[tostring(n)] = 1
    put(ORG, 'groups', used)
    g = {g = n, n = step.need}
    tm.groups = tm.groups or {}
    tm.groups[step.key] = g
  end
  g.u, g.x, g.f = NOW, nil, '0'
  put(TEAM, tostring(t), tm)
  local fill = get(ORG, 'fill') or {}
  fill[#fill + 1] = {t = t, k = step.key}
  put(ORG, 'fill', fill)
  later(3600000, 'group/' .. org .. '/' .. int(t) .. '/' .. step.key)
  return g.g
end
-- stepOf returns the requirement that counts for a chat now, and in how many ms
-- the next one does.
local function stepOf(c)
  local now
  for _, s in ipairs(c.steps or {}) do
    if c.since + s.after > NOW then return now, c.since + s.after - NOW end
    now = s
  end
  return now
end

-- stand puts a chat at its place: its rank was given once, at the start; the
-- group is that of what it requires by now.
local function stand(c)
  local tm = team(c.team) -- a failover may have lost it: then nobody takes the chat before it is back
  local step, left = stepOf(c)
  c.group = tm and groupOf(c.team, tm, step) or 0
  c.score = int(c.group * BAND + c.rank)
  if left then later(left, 'relax/' .. org .. '/' .. int(c.id)) end
  return tm
end
local function enqueue(c)
  local tm = stand(c)
  if c.state == 'active' then c.seen = NOW end -- what they wrote to an operator was not counted
  c.state, c.op, c.opname, c.token, c.offers, c.over = 'waiting', nil, nil, nil, nil, nil
  parts.disband(c, 'moved')
  c.asks = tm and tm.gone == 'ask' and 1 or nil -- what the visitor writes is a sign of life (append.lua)
  putChat(c)
  redis.call('ZADD', QUEUE, c.score, c.id)
  redis.call('ZADD', DUE, 'NX', int(NOW + 1000), 'queue/' .. org .. '/0')
  if tm and tm.overflow_ms and not c.flowed then
    redis.call('ZADD', DUE, 'NX', int(math.max(NOW, c.since + tm.overflow_ms)), 'flow/' .. org .. '/' .. int(c.id))
  end
end

-- arm sets the deadlines of a chat that an operator holds. Messages do not move them:
-- whoever answers one reads from the log what was written (say.lua).
local function arm(c, tm)
  local cid = org .. '/' .. int(c.id)
  if tm.reply_ms then later(tm.reply_ms, 'reply/' .. cid) end
  if tm.quiet_ms then later(tm.quiet_ms, 'quiet/' .. cid) end
  if tm.silent_ms then later(tm.silent_ms, 'doze/' .. cid) end
end

-- activate makes a chat an operator's; other offers of it end.
local function activate(c, rec, token)
  local own, others = int(rec.id), c.offers or {}
  local tm = team(c.team) or {}
  local size = drop(rec, 'offer:' .. int(c.id)) and others[own] and c.units or units(tm)
  if c.state == 'waiting' then redis.call('ZREM', QUEUE, int(c.id)) end
  if c.offers or c.steps or tm.overflow_ms then
    redis.call('ZREM', DUE, 'offer/' .. org .. '/' .. int(c.id), 'relax/' .. org .. '/' .. int(c.id), 'flow/' .. org .. '/' .. int(c.id))
  end
  c.ops = c.ops or {}
  c.ops[own] = 1
  c.state, c.op, c.opname, c.token, c.taken = 'active', rec.id, rec.name, token, NOW
  c.offers, c.declined, c.last, c.lastuntil, c.lost, c.warned = nil, nil, nil, nil, nil, nil
  c.dozes, c.back, c.still = nil, nil, nil
  arm(c, tm)
  hold(rec, 'chat:' .. int(c.id), size)
  putChat(c)
  settle(rec)
  for id in pairs(others) do
    local other = id ~= own and open(id)
    if other and drop(other, 'offer:' .. int(c.id)) then
      tell({'o' .. id}, 'e', {t = 'offer.gone', chat = c.id, reason = 'superseded'})
      settle(other)
    end
  end
end
