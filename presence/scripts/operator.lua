-- The prelude: the one place where link, intent, work and logout meet. Every
-- script that touches any of the four is loaded behind it and ends in settle().
--
-- KEYS 1..16  the block of presence/keys.go: partition keys, then the keys of
--             one organization; the last of KEYS is the history. All share one
--             hash tag; none is computed.
-- ARGV 1      organization id
-- ARGV 2      incarnation of the caller; '0' for an administrator's command,
--             which holds no sockets and so cannot be a zombie
-- Replies     {status, gen, ctr, wake, ...}; status FENCED when the caller is
--             not on the partition's live list (nothing was written); error STRANGER
--             where the partition was last written on another server (identity.go)
-- Stays true  free = the operators for whom fit() holds, and below zero those who
--             are at work without being free; an order's leaving
--             operator is out in the very step that ends the last work that keeps;
--             times are Redis milliseconds.
-- each run:
local META, LIVE, DEAF, IQ, DUE, OWN = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local ORG, OP, LINK, FREE, QUEUE = KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[11]
local CHAT, TEAM, VIS, ORDER, AUDIT, HISTORY = KEYS[12], KEYS[13], KEYS[14], KEYS[15], KEYS[16], KEYS[#KEYS]
local org, inc = ARGV[1], ARGV[2]
local head = redis.call('HMGET', META, 'gen', 'ctr', 'hold', 'srv')
if head[4] ~= me then return elsewhere() end
if inc ~= '0' and redis.call('SISMEMBER', LIVE, inc) == 0 then return {'FENCED', '0', '0', '0'} end

local clock = redis.call('TIME')
local NOW = clock[1] * 1000 + math.floor(clock[2] / 1000)
local GEN, CTR, WAKE, HOLD = head[1] or '1', head[2] or '0', '0', tonumber(head[3] or '0')
local CHANNEL = string.sub(META, 1, -5) -- META is '<channel prefix>meta'
-- once:
-- A group's members stand in one score band of 2^44 in free and in queue, so
-- that both are one key for the whole organization (presence/keys.go says why).
-- In a band of free: LATE (bit 43) for who was found deaf, BUSY (bit 42) for who
-- is not idle, LOAD (bits 35..42) for the units held, turns (bits 0..34).
local BAND, LATE, BUSY, LOAD = 17592186044416, 8796093022208, 4398046511104, 34359738368

-- each run:
local digits = {} -- by -n: the store in memory would make room for all positive ones below
-- once:
local function int(n) -- formatting a number costs as much as a command
  local s = digits[-n]
  if not s then
    s = string.format('%.0f', n)
    digits[-n] = s
  end
  return s
end
-- What a step tells, and the turns it takes, are sent and counted once, when it
-- replies: every return of a script is a reply.
-- each run:
local boxes, posts, casts, waits, turns, turn0 = {}, {}, {}, false, 0, 0
-- once:
local send
local function reply(status, ...)
  send()
  return {status, GEN, CTR, WAKE, ...}
end
local function get(key, field)
  local raw = redis.call('HGET', key, field)
  return raw and cjson.decode(raw) or nil
end
local function put(key, field, value) redis.call('HSET', key, field, cjson.encode(value)) end
-- putChat stores a chat under its next revision: after a rollback the higher one
-- of two copies is the later one (routing/scripts/restore.lua). encoded returns a
-- chat's JSON: what was stored, unless the chat has another revision by now. So no
-- field may change between putChat and a frame that carries the record.
-- each run:
local written = {}
-- once:
local function putChat(c)
  c.rev = (c.rev or 0) + 1
  local raw = cjson.encode(c)
  written[c] = {rev = c.rev, raw = raw}
  redis.call('HSET', CHAT, int(c.id), raw)
end
local function encoded(c)
  local w = written[c]
  return w and w.rev == c.rev and w.raw or cjson.encode(c)
end
local function later(ms, member) redis.call('ZADD', DUE, int(NOW + ms), member) end
local function rung(member) -- is this deadline due? It is kept until finished.
  local at = redis.call('ZSCORE', DUE, member)
  return at and tonumber(at) <= NOW
end

-- linkOf and setLink are the only ways to link: a person's incarnations, "-" in
-- grace, or false.
-- each run:
local links = {}
-- once:
local function linkOf(person)
  local link = links[person]
  if link == nil then
    link = redis.call('HGET', LINK, person)
    links[person] = link
  end
  return link
end
local function setLink(person, link)
  links[person] = link
  if link then redis.call('HSET', LINK, person, link) else redis.call('HDEL', LINK, person) end
end
-- nextTurn counts the organization's turns: who is given work, or ends some.
local function nextTurn()
  if turns == 0 then turn0 = tonumber(redis.call('HGET', ORG, 'turn') or '0') end
  turns = turns + 1
  return turn0 + turns
end

-- tell nudges every incarnation that holds a socket of one of the persons: one
-- nudge per incarnation, numbered, so that a node notices a lost one. record is what
-- the nodes keep of it (class 's' and 'k').
local function tell(persons, class, frame, record)
  if type(frame) == 'table' then frame = cjson.encode(frame) end
  local at, order = {}, {}
  for _, person in ipairs(persons) do
    for i in string.gmatch(linkOf(person) or '', '%d+') do
      if at[i] then at[i] = at[i] .. ',' .. person else at[i] = person; order[#order + 1] = i end
    end
  end
  for _, i in ipairs(order) do
    if not posts[i] then
      posts[i] = {}
      boxes[#boxes + 1] = i
    end
    table.insert(posts[i], {org, at[i], class, frame, record})
  end
end
-- cast tells every node that serves this partition.
local function cast(topic, frame) casts[#casts + 1] = {org, topic, frame} end
local function castQueue() waits = true end -- how many wait when the step is over

-- publish sends numbered nudges or events, from a number on, at most 32 in one
-- message: nodes take them apart at the separator, which no JSON has (routing/nudge.go).
-- It puts all together in one go: Lua hashes every string that it makes.
local function publish(channel, list, n)
  for first = 1, #list, 32 do
    local out = {}
    for k = first, math.min(first + 31, #list) do
      if k > first then out[#out + 1] = '\30' end
      out[#out + 1] = GEN
      out[#out + 1] = '\t' .. int(n + k - 1)
      for _, part in ipairs(list[k]) do
        out[#out + 1] = '\t'
        out[#out + 1] = part
      end
    end
    redis.call('PUBLISH', channel, table.concat(out))
  end
end
send = function()
  if turns > 0 then redis.call('HINCRBY', ORG, 'turn', turns) end
  for _, i in ipairs(boxes) do
    publish(CHANNEL .. 'in:' .. i, posts[i], redis.call('HINCRBY', IQ, i, #posts[i]) - #posts[i] + 1)
  end
  if waits then cast('queue', '{"t":"queue","waiting":' .. redis.call('ZCARD', QUEUE) .. '}') end
  if #casts > 0 then
    local ctr = redis.call('HINCRBY', META, 'ctr', #casts)
    CTR = int(ctr)
    publish(CHANNEL .. 'bc', casts, ctr - #casts + 1)
  end
end

-- each run:
local teams = {}
-- once:
local function team(id)
  id = tostring(id)
  if teams[id] == nil then teams[id] = get(TEAM, id) or false end
  return teams[id]
end
-- teamsOf reads at once all that team() will be asked for an operator.
local function teamsOf(rec)
  local missing = {}
  for _, id in ipairs({0, unpack(rec.teams or {})}) do
    if teams[tostring(id)] == nil then missing[#missing + 1] = tostring(id) end
  end
  if not missing[1] then return end
  for k, raw in ipairs(redis.call('HMGET', TEAM, unpack(missing))) do
    teams[missing[k]] = raw and cjson.decode(raw)
  end
end

-- scope: what follows sees what stands above

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
  c.seen, c.asks = NOW, tm and tm.gone == 'ask' and 1 or nil -- as enqueue has it (routing/scripts/match.lua)
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

-- scope: what follows sees what stands above

-- report tells watchers that an order has moved on; they read how far.
local function report(id) cast('logouts', id) end
-- shut takes an order off a list that people who connect are checked against:
-- 'open' for everybody, 'late' for who was here before (ordermore.lua).
local function shut(id, list)
  local kept = {}
  for o in string.gmatch(redis.call('HGET', ORDER, list) or '', '%d+') do
    if o ~= id then kept[#kept + 1] = o end
  end
  redis.call('HSET', ORDER, list, table.concat(kept, ','))
end
local function note(what, rec, order, why)
  redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', what, 'who', rec.id, 'order', order, 'why', why or '')
end

-- signOut ends an operator's presence: tokens minted up to now are refused from
-- this step on (the floor), nodes close the sockets. Orders that waited for the
-- operator's work count them as out, whatever ended the wait. fence is for how
-- many ms from now a new sign-in is refused. What work is left is the caller's.
local function signOut(rec, reason, order, fence)
  releaseAll(rec, 'withdrawn')
  parts.all(rec, 'signed out')
  redis.call('ZREM', DUE, 'wrap/' .. org .. '/' .. rec.id)
  rec.floor = math.max((rec.floor or 0) + 1, NOW)
  local leaving, fencer = rec.leaving or {}, order
  for _, id in ipairs(leaving.orders or {}) do -- 0 is the operator's own wish
    local held = (leaving.fences or {})[int(id)]
    if held and held > (fence or 0) then fence, fencer = held, id end
    if id > 0 then
      redis.call('HINCRBY', ORDER, int(id) .. ':leaving', -1)
      redis.call('HINCRBY', ORDER, int(id) .. ':out', 1)
      report(int(id))
    end
  end
  if rec.leaving then redis.call('ZREM', DUE, 'cut/' .. org .. '/' .. rec.id) end
  rec.out, rec.leaving, rec.wrap = true, nil, nil
  intents.left(rec, order, reason)
  if fence and fence > 0 and NOW + fence > (rec.fence or 0) then rec.fence, rec.fencer = NOW + fence, fencer end
  note('signed out', rec, order or 0, reason)
  tell({'o' .. rec.id}, 'c', {t = 'logout', order = order, reason = reason, floor = rec.floor, back_ms = fence})
end
-- leave marks an operator whose work a logout waits for. An order may say for how
-- long: then the work is given back ('cut', scripts/cut.lua). Nothing waits for
-- longer than PATIENCE that nobody gave a longer time: telephony that renews a
-- call for ever must not hold a logout for ever.
local PATIENCE = 86400000 -- a day
local function leave(rec, id, reason, within, fence)
  within = within or PATIENCE
  local l = rec.leaving or {orders = {}, reason = reason, at = NOW}
  table.insert(l.orders, id)
  if fence and fence > 0 then
    l.fences = l.fences or {}
    l.fences[int(id)] = fence
  end
  l.cuts = l.cuts or {}
  l.cuts[int(id)] = NOW + within
  redis.call('ZADD', DUE, 'LT', int(NOW + within), 'cut/' .. org .. '/' .. rec.id)
  rec.leaving = l
  releaseAll(rec, 'withdrawn')
  note('leaving', rec, id, reason)
end
local function leavingFrame(rec, n)
  local l, first = rec.leaving, nil
  for _, at in pairs(l.cuts or {}) do first = math.min(first or at, at) end
  return {t = 'leaving', order = l.orders[1], reason = l.reason, chats = chats(n), calls = n.call, others = n.other > 0 and n.other or nil,
    within_ms = first and math.max(first - NOW, 0)}
end
-- stay takes one order's (0: the operator's own) wish back. Returns whether it was there.
local function stay(rec, id)
  local l, kept, had = rec.leaving, {}, false
  for _, o in ipairs(l and l.orders or {}) do
    if o == id then had = true else kept[#kept + 1] = o end
  end
  if not had then return false end
  redis.call('ZREM', DUE, 'cut/' .. org .. '/' .. rec.id)
  rec.leaving = #kept > 0 and {orders = kept, reason = l.reason, at = l.at} or nil
  for _, o in ipairs(kept) do
    for _, field in ipairs({'cuts', 'fences'}) do
      local v = (l[field] or {})[int(o)]
      if v then
        rec.leaving[field] = rec.leaving[field] or {}
        rec.leaving[field][int(o)] = v
        if field == 'cuts' then redis.call('ZADD', DUE, 'LT', int(v), 'cut/' .. org .. '/' .. rec.id) end
      end
    end
  end
  note('stays', rec, id, l.reason)
  return true
end

-- settle recomputes what follows from link, intent, work and logout, stores the
-- operator and tells whoever watches. Every change of an operator ends here. With a
-- batch it stores nothing itself.
local function settle(rec, batch)
  teamsOf(rec)
  local own = int(rec.id)
  local link = linkOf('o' .. own)
  local n = tally(rec)
  if rec.leaving and not busy(n) then
    empty(rec)
    signOut(rec, rec.leaving.reason, rec.leaving.orders[1])
    n = tally(rec)
  end
  intents.follow(rec, link, n)
  local status = outward(rec, link, n)
  intents.record(rec, status)
  if status ~= rec.shown then rec.shown, rec.since = status, NOW end
  -- What was told last is kept, because a setting of the team may have changed it.
  local told = answers(rec, link) and 1 or nil
  if told ~= rec.told then rec.told, before[rec.id] = told, nil end
  local able, left, can, work = not barrier(rec, link, n), limit(rec) - n.units, false, atWork(rec, link)
  -- Who begins to take work stands behind those who waited for it; a reload
  -- (grace) changes no place.
  if able and not rec.able then
    rec.last, rec.able = nextTurn(), 1
  elseif rec.able and not able and link ~= '-' then
    rec.able = nil
  end
  local lists = batch and batch.lists or {{}, {}}
  for _, t in ipairs({0, unpack(rec.teams or {})}) do
    local tm = team(t)
    if tm then
      local room = left >= units(tm)
      can = can or (able and room)
      listing(lists, rec, tm.group, tm, n, able, room, work)
      for _, g in pairs(tm.groups or {}) do
        local meets_ = meets(rec, g.n)
        listing(lists, rec, g.g, tm, n, able and meets_, room, work and meets_)
      end
    end
  end
  if not batch then relist(lists) end
  if can and WAKE == '0' and redis.call('EXISTS', QUEUE) == 1 then WAKE = '1' end
  rec.rev, rec.g = (rec.rev or 0) + 1, GEN
  local raw = cjson.encode(rec)
  stored[rec.id] = raw
  if batch then
    batch.ops[#batch.ops + 1] = own
    batch.ops[#batch.ops + 1] = raw
  else
    redis.call('HSET', OP, own, raw)
  end
  local now = mark(rec, link, n)
  if not same(before[rec.id], now) then
    before[rec.id] = now
    local json = cjson.encode(view(rec, link, n))
    cast('operators', json)
    -- With the whole record behind it: the operator's nodes keep it, to assert it
    -- when a failover loses it (rollback.go).
    tell({'o' .. own}, 's', '{"t":"self",' .. string.sub(json, 2), raw)
  end
  return can
end

-- finish ends one piece of work; the last chat or call starts wrap-up where the
-- organization has one. A leaving operator gets none (contracts.md 1.8, 10).
local function finish(rec, item)
  if not drop(rec, item) then return false end
  rec.last = nextTurn()
  local n, base = tally(rec), team(0)
  if base and (base.wrap_ms or 0) > 0 and not busy(n) and not rec.leaving then
    rec.wrap = NOW + base.wrap_ms
    later(base.wrap_ms, 'wrap/' .. org .. '/' .. rec.id)
  end
  intents.worked(rec)
  return true
end

-- offline ends a person's presence: the last edge is gone and the grace is over.
-- What is left behind gets a deadline that routing answers.
local function offline(person, rec)
  setLink(person, false)
  redis.call('ZREM', DUE, 'grace/' .. org .. '/' .. person)
  if rec then
    releaseAll(rec, 'connection_lost')
    parts.all(rec, 'connection_lost')
    settle(rec)
    if rec.work then later(0, 'lost/' .. org .. '/' .. rec.id) end
  elseif redis.call('HEXISTS', VIS, person) == 1 then
    later(0, 'gone/' .. org .. '/' .. person)
  end
end
