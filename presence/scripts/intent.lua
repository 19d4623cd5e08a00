-- The prelude's fourth file: how an intent changes, and what is remembered of it.
-- settle.lua calls it through the table intents, so it may stand behind.
--
-- Who may set what (the table is in presence/doc.go):
--   operator    always, but not while a supervisor's temporary status lasts
--   supervisor  always
--   system      only over a routable status, never over another; it keeps what it
--               covers and gives it back
-- Fields of an operator's record, all absent at rest:
--   till   Redis ms at which a temporary intent ends (alarm until/org/op)
--   back   what it goes back to, the nearest last: {i intent, s source, t till, w
--          why}. From below, t goes down; only the first has none.
--   pend   {i, s, b who, w why, ms}: chosen for when the last chat or call ends
--   idle   {incarnation: 1}: all connections that it holds of the person are idle
--   auto   times of the automatic changes of the last minute; flap: 1, one was refused
--   why    reason of the present intent
local AWAY, DEPTH, AUTO, MINUTE = 'Away', 8, 6, 60000
-- each run:
local seen, notes = {}, {} -- by operator: intent when the script began; who changes it and why
-- once:

function intents.open(rec) seen[rec.id] = rec.intent end
-- note says who changes an operator in this step, and why; nobody: it is derived.
function intents.note(rec, source, by, why, pend)
  local n = notes[rec.id] or {}
  notes[rec.id] = {source = source, by = by or '', why = why or '', pend = pend or n.pend}
end

-- record adds to the history what this step changed of an operator (P-12).
local function cause(rec, from, to)
  if to == 'Offline' then return rec.out and 'signed out' or 'connection lost' end
  if from == 'Offline' then return 'connected' end
  return (to == 'In-chat' or to == 'In-call' or to == 'Wrap-up') and 'work' or 'work ended'
end
-- held is the work that a status stands for: the one with the lowest id of several.
local function held(rec, status)
  local kind, first = status == 'In-chat' and 'chat:' or status == 'In-call' and 'call:', nil
  for item in pairs(kind and rec.work or {}) do
    if string.sub(item, 1, 5) == kind and (not first or #item < #first or (#item == #first and item < first)) then first = item end
  end
  return first
end
function intents.record(rec, status)
  local was, now, from, n = seen[rec.id] or rec.intent, rec.intent, rec.shown or 'Offline', notes[rec.id]
  notes[rec.id], seen[rec.id] = nil, rec.intent
  if was == now and status == from and not (n and n.pend) then return end
  n = n or {source = 'system', by = '', why = status ~= from and cause(rec, from, status) or 'restored'}
  if was == now then was, now = '', '' end
  if status == from then from, status = '', '' end
  local fields = {'op', int(rec.id), 'i0', was, 'i1', now, 's0', from, 's1', status, 'p', n.pend or '', 'src', n.source, 'by', n.by, 'why', n.why}
  local item = held(rec, status)
  if item then fields[#fields + 1] = 'w'; fields[#fields + 1] = item end
  redis.call('XADD', HISTORY, 'MAXLEN', '~', 200000, '*', unpack(fields))
end

local function arm(rec) -- the deadline of a temporary status
  local alarm = 'until/' .. org .. '/' .. int(rec.id)
  if rec.till then redis.call('ZADD', DUE, int(rec.till), alarm) else redis.call('ZREM', DUE, alarm) end
end
local function top(rec, intent, source, till, why)
  rec.intent, rec.source, rec.till, rec.why = intent, source, till, why ~= '' and why or nil
end
-- pop goes back to the nearest status that is not over by now.
local function pop(rec)
  local b
  repeat b = table.remove(rec.back) until not b.t or b.t > NOW or #rec.back == 0
  if #rec.back == 0 then rec.back = nil end
  top(rec, b.i, b.s, b.t, b.w)
end
local function covered(rec) return rec.source == 'system' and rec.back end
local function beneath(rec)
  local back = rec.back or {}
  back[#back + 1] = {i = rec.intent, s = rec.source, t = rec.till, w = rec.why}
  return back
end
-- locked: a supervisor's temporary status that lasts, by when it ends.
local function locked(rec)
  if rec.source == 'supervisor' and rec.till and rec.till > NOW then return rec.till end
  for _, b in ipairs(rec.back or {}) do
    if b.s == 'supervisor' and b.t and b.t > NOW then return b.t end
  end
end

-- budget allows AUTO automatic changes of an operator within any minute. One more
-- is not made, and an alarm says so (S-3); a person's choice begins anew.
local function budget(rec)
  local kept = {}
  for _, at in ipairs(rec.auto or {}) do
    if at > NOW - MINUTE then kept[#kept + 1] = at end
  end
  local ok = #kept < AUTO
  if ok then
    kept[#kept + 1], rec.flap = NOW, nil
  elseif not rec.flap then -- said once, until a change is allowed again
    rec.flap = 1
    later(0, 'flap/' .. org .. '/' .. int(rec.id))
    redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'automatic status changes stopped', 'who', int(rec.id), 'why', rec.intent)
  end
  rec.auto = kept
  return ok
end

-- pending tells an operator's sockets, and the history, what became of a choice
-- for after work: set, replaced, cancelled or applied (S-1).
local function pending(rec, event, p, by)
  tell({'o' .. int(rec.id)}, 'e', {t = 'pending', event = event, status = p.i, by = by})
  return event .. ' ' .. p.i
end
-- forget cancels what is pending, if anything is.
function intents.forget(rec, by)
  local p = rec.pend
  rec.pend = nil
  return p and pending(rec, 'cancelled', p, by) or nil
end

-- choose makes a person's choice c = {i, s, b, w, ms} the intent.
-- Returns OK | LOCKED, until | DEEP; nothing was changed but for OK
function intents.choose(rec, c, event)
  local old = {rec.intent, rec.source, rec.till, rec.why, rec.back and {unpack(rec.back)}}
  while covered(rec) do pop(rec) end
  local till = c.s == 'operator' and locked(rec)
  local stay = till and c.i == rec.intent and c.ms == 0 -- back from what lay over it
  local back, word = rec.back, 'OK'
  if till and not stay then word = 'LOCKED'
  elseif c.ms > 0 then
    local ends, kept = NOW + c.ms, {}
    local renewed = rec.till and rec.back and rec.intent == c.i and rec.source == c.s
    for _, b in ipairs(renewed and rec.back or beneath(rec)) do
      if not b.t or b.t > ends then kept[#kept + 1] = b end -- the others are over before
    end
    if #kept > DEPTH then word = 'DEEP' end
    back = kept
  elseif not stay then back = nil end
  if word ~= 'OK' then
    top(rec, old[1], old[2], old[3], old[4])
    rec.back = old[5]
    return word, till
  end
  rec.back = back
  if not stay then top(rec, c.i, c.s, c.ms > 0 and NOW + c.ms or nil, c.w) end
  if old[3] or rec.till then arm(rec) end
  rec.version, rec.missed, rec.auto, rec.flap = (rec.version or 0) + 1, nil, nil, nil
  intents.note(rec, c.s, c.b, c.w, event or intents.forget(rec, c.b))
  return 'OK'
end

-- cover lays an automatic status over a routable one; false when it may not.
function intents.cover(rec, intent, why)
  if not takes(rec) or not budget(rec) then return false end
  local had = rec.till
  rec.back = beneath(rec)
  top(rec, intent, 'system', nil, why)
  if had then arm(rec) end
  rec.version, rec.missed = (rec.version or 0) + 1, nil
  intents.note(rec, 'system', '', why)
  return true
end
-- uncover goes back to what lies beneath, a temporary or an automatic status.
function intents.uncover(rec, source, by, why)
  local had = rec.till
  pop(rec)
  if had or rec.till then arm(rec) end
  rec.version, rec.missed = (rec.version or 0) + 1, nil
  intents.note(rec, source, by, why)
end
-- leave ends one at a person's wish. Returns as choose.
function intents.leave(rec, c)
  local till = c.s == 'operator' and not covered(rec) and locked(rec)
  if till then return 'LOCKED', till end
  intents.uncover(rec, c.s, c.b, c.w)
  rec.auto, rec.flap = nil, nil
  return 'OK'
end
-- later keeps a person's choice for when the work ends. Returns as choose.
function intents.later(rec, c)
  local till = c.s == 'operator' and locked(rec)
  if till then return 'LOCKED', till end
  local event = rec.pend and 'replaced' or 'set'
  rec.pend, rec.version = c, (rec.version or 0) + 1
  intents.note(rec, c.s, c.b, c.w, pending(rec, event, c, c.b))
  return 'OK'
end
-- lapse ends a temporary status whose time is over.
function intents.lapse(rec)
  if not rec.till or rec.till > NOW or not rec.back then return end
  if budget(rec) then intents.uncover(rec, 'system', '', 'its time was over')
  else later(MINUTE, 'until/' .. org .. '/' .. int(rec.id)) end
end

local function idleAfter() return team(0) and team(0).idle_ms or 0 end
local function rest(rec) return 'idle/' .. org .. '/' .. int(rec.id) end
-- awake: a connection is in use. A person in grace is neither awake nor idle.
local function awake(rec, link)
  for i in string.gmatch(link or '', '%d+') do
    if not (rec.idle and rec.idle[i]) then return true end
  end
  return false
end
-- doze notes whether all connections that an incarnation holds are idle.
function intents.doze(rec, i, on)
  rec.idle = rec.idle or {}
  rec.idle[i] = on and 1 or nil
  if next(rec.idle) == nil then rec.idle = nil end
end
-- nap makes a person Away of whom every connection is idle and who has no work.
function intents.nap(rec)
  local link, n = linkOf('o' .. int(rec.id)), tally(rec)
  if rec.idle and link and link ~= '-' and not busy(n) and idleAfter() > 0 and not awake(rec, link) then
    intents.cover(rec, AWAY, 'idle')
  end
end

-- follow is what work and connections do to an intent; settle calls it.
function intents.follow(rec, link, n)
  if rec.pend and not busy(n) then
    local p = rec.pend
    rec.pend = nil
    if intents.choose(rec, p, 'applied ' .. p.i) == 'OK' then pending(rec, 'applied', p, p.b)
    else intents.note(rec, 'system', '', '', pending(rec, 'cancelled', p)) end
  end
  if not rec.idle and rec.intent ~= AWAY then return end
  for i in pairs(rec.idle or {}) do -- those who hold nothing any more
    if not string.find(',' .. (link or '') .. ',', ',' .. i .. ',', 1, true) then intents.doze(rec, i, false) end
  end
  if rec.intent == AWAY and covered(rec) then
    if busy(n) or awake(rec, link) then
      if budget(rec) then intents.uncover(rec, 'system', '', 'active again')
      else redis.call('ZADD', DUE, 'NX', int(NOW + MINUTE), rest(rec)) end
    end
  elseif rec.idle and takes(rec) and not busy(n) and idleAfter() > 0 then
    redis.call('ZADD', DUE, 'NX', int(NOW + idleAfter()), rest(rec)) -- work, or a supervisor, has put it off
  end
end
-- heeds: does follow look at which connections there are?
function intents.heeds(rec) return rec.idle or rec.intent == AWAY end
-- worked: work has ended just now; who is idle is so from here on.
function intents.worked(rec)
  if rec.idle and idleAfter() > 0 then later(idleAfter(), rest(rec)) end
end

-- left ends at a sign-out what waited or was automatic. The version moves on, so
-- that no write from before applies after it (S-3). order: 0 is the operator's own
-- wish, nil nobody's.
function intents.left(rec, order, why)
  local source, by = order == 0 and 'operator' or 'system', ''
  if order then by = order > 0 and 'order:' .. int(order) or 'o' .. int(rec.id) end
  local event = intents.forget(rec, by)
  local had = rec.till
  while covered(rec) do pop(rec) end
  if had or rec.till then arm(rec) end
  rec.version, rec.idle, rec.auto, rec.flap = (rec.version or 0) + 1, nil, nil, nil
  redis.call('ZREM', DUE, rest(rec))
  intents.note(rec, source, by, why, event)
end

-- adopt takes another copy's intent, with all that belongs to it.
function intents.adopt(rec, old)
  for _, field in ipairs({'intent', 'source', 'version', 'till', 'back', 'why', 'pend'}) do rec[field] = old[field] end
end
function intents.rearm(rec)
  if rec.till then redis.call('ZADD', DUE, 'NX', int(rec.till), 'until/' .. org .. '/' .. int(rec.id)) end
end
