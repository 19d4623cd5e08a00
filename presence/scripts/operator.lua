-- The prelude's second file: what an operator's link, intent and work add up to.
-- Stays true  free = the operators for whom fit() holds, and below zero those who are
--             at work without being free; an offer stands with the chat and with each
--             who has it, or with neither.

-- tally counts work: pieces by kind, and the units that all of it takes.
local function tally(rec)
  local n = {chat = 0, call = 0, offer = 0, other = 0, units = 0}
  for item, units in pairs(rec.work or {}) do
    local kind = string.match(item, '^%a+')
    n[kind] = (n[kind] or 0) + 1
    if kind == 'chat' or kind == 'offer' or kind == 'invite' or kind == 'other' then n.units = n.units + units end
  end
  local base = n.call > 0 and team(0)
  if base and base.call_units then n.units = n.units + n.call * base.call_units end
  return n
end
-- KEEPS is the table of roles: which work keeps an operator in while a logout
-- waits (docs/protocol.md, "What counts as work"). A call is work in any of its
-- roles: talking, on hold, a conference or a consult leg. All else ends with the
-- sign-out: offers, invites, monitoring, wrap-up.
local KEEPS = {'chat', 'call', 'consult', 'join', 'other'} -- other: outside work (task.lua)
local function busy(n)
  for _, kind in ipairs(KEEPS) do if (n[kind] or 0) > 0 then return true end end
  return false
end
local function chats(n) return n.chat + (n.consult or 0) + (n.join or 0) end -- held, or taken part in
local function outward(rec, link, n)
  if not link or rec.out then return 'Offline' end
  if n.call > 0 then return 'In-call' end
  if chats(n) > 0 then return 'In-chat' end
  if rec.wrap then return 'Wrap-up' end
  return rec.intent
end
local intents, parts = {}, {} -- intent.lua, parts.lua
-- takes: does the intent mean work? Available does, and what team 0 maps on purpose.
local function takes(rec)
  if rec.intent == 'Available' then return true end
  for _, name in ipairs(team(0) and team(0).routable or {}) do
    if name == rec.intent then return true end
  end
  return false
end
-- limit is in units: the operator's own, else that of the first of their teams
-- that has one, else the organization's.
local function limit(rec)
  if rec.limit then return rec.limit end
  for _, t in ipairs(rec.teams or {}) do
    local tm = team(t)
    if tm and tm.limit then return tm.limit end
  end
  return team(0) and team(0).limit or 5
end
local function units(tm) return tm.units or (team(0) and team(0).units) or 1 end -- of one chat
-- barrier names the first fact that keeps an operator from all chats, nil when
-- there is none. Deafness is not among them: only the claim can know it.
local function barrier(rec, link, n)
  if rec.account ~= 0 then return 'account' end
  if rec.out or not link then return 'offline' end
  if link == '-' then return 'unreachable' end
  if rec.leaving then return 'leaving' end
  if not takes(rec) then return 'status' end
  if rec.wrap then return 'wrap_up' end
  local base = n.call > 0 and team(0)
  if n.call > 0 and not (base and base.call_units) then return 'call' end
end
-- fit computes routable for a chat of some units.
local function fit(rec, link, n, size) return not barrier(rec, link, n) and n.units + size <= limit(rec) end
-- meets: does an operator have every skill of a group at its level?
local function meets(rec, need)
  for skill, level in pairs(need) do
    if ((rec.skills or {})[skill] or 0) < level then return false end
  end
  return true
end
-- atWork says that an operator means to take chats: one who is full or in a call
-- staffs a team as much as one who is free.
local function atWork(rec, link)
  return link and rec.account == 0 and takes(rec) and not rec.leaving and not rec.out
end
local function score(rec, tm, n)
  if tm.strategy == 'round_robin' or tm.strategy == 'mod' then return rec.id end
  local last = (rec.last or 0) % LOAD
  if tm.strategy == 'longest_idle' then return (n.units > 0 and BUSY or 0) + last end
  return n.units * LOAD + last
end
-- list puts an operator where a group's free set has them: free; or, below zero,
-- full (FULL: never picked, counted for estimates) or at work without being able to
-- take a chat now (STAFF: the team is staffed); or nowhere.
local FULL, STAFF = -1, -2
-- listing adds to lists (of ZADD, of ZREM) what list does.
local function listing(lists, rec, group, tm, n, able, room, work)
  local member, at = int(group) .. ':' .. int(rec.id), lists[able and 1 or work and 1 or 2]
  if able and room then
    at[#at + 1] = int(group * BAND + score(rec, tm, n))
  elseif able or work then
    at[#at + 1] = int(-group * BAND + (able and FULL or STAFF))
  end
  at[#at + 1] = member
end
local function relist(lists) -- what listing has put together: added, removed
  for k, command in ipairs({'ZADD', 'ZREM'}) do
    for first = 1, #lists[k], 4000 do -- unpack has its limit
      redis.call(command, FREE, unpack(lists[k], first, math.min(first + 3999, #lists[k])))
    end
  end
end
-- A batch is what settle would write of many operators, written together. As long as it
-- is not written none of them may be opened again.
local function newBatch() return {lists = {{}, {}}, ops = {}} end
local function write(batch)
  relist(batch.lists)
  if batch.ops[1] then redis.call('HSET', OP, unpack(batch.ops)) end
end
local function list(...)
  local lists = {{}, {}}
  listing(lists, ...)
  relist(lists)
end
-- unlist takes an operator off every group of their teams.
local function unlist(rec)
  for _, t in ipairs({0, unpack(rec.teams or {})}) do
    local tm = team(t)
    if tm then
      list(rec, tm.group, tm)
      for _, g in pairs(tm.groups or {}) do list(rec, g.g, tm) end
    end
  end
end
-- answers: would a visitor who comes now be served, at once or in turn? Whether
-- anybody answers for a team is counted from it (P-7).
local function answers(rec, link)
  return link and not rec.out and rec.account == 0 and not rec.leaving and takes(rec)
end
-- view is what others see. Within grace an operator shows as here: a reload must
-- not flicker on any board (P-3), so nothing in view or mark may tell grace apart.
local function view(rec, link, n)
  return {id = rec.id, name = rec.name, role = rec.role, account = rec.account, teams = rec.teams,
    status = rec.shown, intent = rec.intent, since = rec.since, version = rec.version, chats = n.chat,
    calls = n.call, offers = n.offer, others = n.other > 0 and n.other or nil, here = (link and not rec.out) and true or false,
    leaving = rec.leaving and true or nil, source = rec.source, reason = rec.why, ['until'] = rec.till,
    next = rec.pend and rec.pend.i or nil, takes = answers(rec, link) or nil}
end
local function mark(rec, link, n)
  return {rec.name, rec.role, rec.account, rec.teams and table.concat(rec.teams, ',') or '', outward(rec, link, n),
    rec.intent, rec.version, n.chat, n.call, n.offer, n.other, (link and not rec.out) and true or false, rec.leaving ~= nil,
    rec.till or '', rec.pend and rec.pend.i or ''}
end
local function same(a, b)
  for k = 1, 15 do
    if not a or a[k] ~= b[k] then return false end
  end
  return true
end

-- each run:
local before = {} -- how each opened operator looked when the script began
local stored, ahead = {}, {} -- JSON of who was opened or settled, by number; of who will be opened, by name
-- once:
local function open(id)
  local raw = ahead[id] or redis.call('HGET', OP, id)
  if not raw then return nil end
  local rec = cjson.decode(raw)
  ahead[id], stored[rec.id] = nil, raw
  if not before[rec.id] then
    before[rec.id] = mark(rec, linkOf('o' .. id), tally(rec))
    intents.open(rec)
  end
  return rec
end
local function hold(rec, item, size) rec.work = rec.work or {}; rec.work[item] = size or 1 end
local function drop(rec, item)
  if not rec.work or not rec.work[item] then return false end
  rec.work[item] = nil
  if next(rec.work) == nil then rec.work = nil end
  return true
end

-- release puts an offered chat back to its old place in its queue. It is the one
-- transition of a chat that presence makes, because logout and loss must
-- withdraw offers in their own step.
local function release(rec, cid, reason)
  if not drop(rec, 'offer:' .. cid) then return end
  tell({'o' .. rec.id}, 'e', {t = 'offer.gone', chat = tonumber(cid), reason = reason})
  local c = get(CHAT, cid)
  if not c or c.state ~= 'offered' or not c.offers[int(rec.id)] then return end
  c.offers[int(rec.id)] = nil
  if next(c.offers) then return putChat(c) end -- others are asked still
  redis.call('ZREM', DUE, 'offer/' .. org .. '/' .. cid)
  c.state, c.offers, c.over = 'waiting', nil, nil
  putChat(c)
  redis.call('ZADD', QUEUE, c.score, cid)
  redis.call('ZADD', DUE, 'NX', int(NOW + 1000), 'queue/' .. org .. '/0')
  WAKE = '1'
  castQueue()
end
parts.release = release -- for scripts of routing: one may capture no more of what stands here (presence/hashed.go)
local function releaseAll(rec, reason)
  for item in pairs(rec.work or {}) do
    local kind, cid = string.match(item, '^(%a+):(.+)')
    if kind == 'offer' then release(rec, cid, reason) end
    if kind == 'invite' then parts.uninvite(rec, cid, reason) end
  end
end

-- giveBack puts an active chat at the head of its queue: its operator is made to
-- go while it is open. Its log stays with it, so the next one has the history.
local function giveBack(rec, cid)
  local c = get(CHAT, cid)
  if not c or c.state ~= 'active' or c.op ~= rec.id then return end
  local tm = team(c.team)
  c.state, c.op, c.token, c.opname, c.over = 'waiting', nil, nil, nil, nil
  c.lost, c.warned, c.dozes, c.back = nil, nil, nil, nil
  c.seen, c.asks = NOW, tm and tm.gone == 'ask' and 1 or nil -- as enqueue has it (routing/scripts/chats.lua)
  -- Of a visitor who is gone, and for whom a deadline stands, the team says what becomes of it (V-1).
  if not linkOf(c.visitor) and redis.call('ZSCORE', DUE, 'silent/' .. org .. '/' .. cid) then later(0, 'gone/' .. org .. '/' .. c.visitor) end
  parts.disband(c, 'moved')
  local low = c.group * BAND
  local first = redis.call('ZRANGEBYSCORE', QUEUE, int(low), '(' .. int(low + BAND), 'WITHSCORES', 'LIMIT', 0, 1)
  if first[1] then c.score = int(math.max(low, math.min(tonumber(c.score), tonumber(first[2]) - 1))) end
  c.rank = tonumber(c.score) - low
  if c.steps then later(0, 'relax/' .. org .. '/' .. cid) end -- its group may be gone; routing puts it right
  putChat(c)
  redis.call('ZADD', QUEUE, c.score, cid)
  redis.call('ZADD', DUE, 'NX', int(NOW + 1000), 'queue/' .. org .. '/0')
  WAKE = '1'
  tell({c.visitor}, 'k', cjson.encode({t = 'chat', chat = c.id, state = 'waiting', team = c.team, since = c.since,
    place = redis.call('ZCOUNT', QUEUE, int(c.group * BAND), c.score)}), encoded(c))
  castQueue()
end
-- empty ends all work of an operator who goes: offers and chats go back, legs of
-- calls end.
local function empty(rec)
  releaseAll(rec, 'withdrawn')
  local items = {}
  for item in pairs(rec.work or {}) do items[#items + 1] = item end
  table.sort(items, function(a, b) return #a > #b or (#a == #b and a > b) end) -- each goes before the last: the oldest is first
  for _, item in ipairs(items) do
    local kind, id = string.match(item, '^(%a+):(.+)$')
    if drop(rec, item) then
      if kind == 'chat' then giveBack(rec, id) end
      if kind == 'join' or kind == 'consult' or kind == 'unseen' then parts.out(rec, id, 'signed out') end
      if kind == 'call' or kind == 'monitor' then redis.call('ZREM', DUE, 'call/' .. org .. '/' .. rec.id .. '/' .. id) end
      if kind == 'other' then redis.call('ZREM', DUE, 'task/' .. org .. '/' .. rec.id .. '/' .. id) end
    end
  end
end
