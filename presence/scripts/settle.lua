-- The prelude's third file: sign-out, and settle, in which every change of an operator
-- ends.
-- Stays true  an order's leaving operator is out in the very step that ends the last
--             work that keeps.

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
