-- Stands behind match.lua for every script by which people move a chat, or come into
-- it: transfer, invite, come, stay and join.
-- Stays true  of a chat one hand-over is pending at a time; who comes in is here and
--             not leaving in this step; who gets a chat to hold takes work now and has
--             room for it, or somebody with the permission goes over the limit, which
--             is audited each time (A-12). An operator has at most 16 parts, a chat 8
--             people besides its holder, and 8 who monitor.
local MAXPARTS, MAXPEOPLE = 16, 8

local function supervises(rec) return rec.role == 'supervisor' or rec.role == 'admin' end
local function member(rec, t)
  if t == 0 then return true end
  for _, own in ipairs(rec.teams or {}) do if own == t then return true end end
  return false
end
-- seen: has an operator, whose place in c.with is w, come into a chat as its people
-- know? Who monitors is to them as one who is not there.
local function seen(w) return w ~= nil and w.r ~= 'monitor' end
-- crowded: has a chat as many people, and asked ones, as it may? Who monitors counts
-- only for who wants to: being refused would tell of them.
local function crowded(c, role, own)
  local n, monitors = 0, role == 'monitor'
  for _, w in pairs(c.with or {}) do n = n + (seen(w) ~= monitors and 1 or 0) end
  for id in pairs(not monitors and c.invites or {}) do n = n + (id ~= own and 1 or 0) end
  return n >= MAXPEOPLE
end
-- absent says why an operator cannot come into a chat now, nil when they can.
local function absent(rec)
  local id = int(rec.id)
  local link = linkOf('o' .. id)
  if rec.account ~= 0 then return 'account' end
  if rec.out or not link then return 'offline' end
  if link == '-' or not hears(id) then return 'unreachable' end
  if rec.leaving then return 'leaving' end
end
-- kept returns the units that an operator keeps already for a chat they are asked to take.
local function kept(rec, c)
  local work = rec.work or {}
  return work['invite:' .. int(c.id)] or work['offer:' .. int(c.id)] or 0
end
-- room: has an operator room for a chat of some units? ask: '1' asks to go over the
-- limit, which who, or the operator, must be allowed to.
-- Returns true, and whether it goes over | false, 'FULL' or 'OVER'
local function room(rec, n, size, ask, who)
  if n.units + size <= limit(rec) then return true end
  if ask ~= '1' then return false, 'FULL' end
  if not (rec.over or supervises(rec) or who.over or supervises(who)) then return false, 'OVER' end
  return true, true
end
local function passed(rec, c, size, who) -- the limit, by permission
  redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'over the limit', 'who', int(rec.id), 'chat', int(c.id),
    'by', 'o' .. int(who.id), 'units', tally(rec).units + size - kept(rec, c), 'limit', limit(rec))
end
-- mayHold: may an operator be given a chat to hold, in a team? Returns nil, and
-- whether it goes over the limit; else the refusal and its detail.
local function mayHold(rec, c, t, tm, ask, who)
  if not member(rec, t) then return 'NOTTEAM' end
  local n = tally(rec)
  local here = seen((c.with or {})[int(rec.id)]) -- has come in: a status, a call or wrap-up is no matter
  local why = absent(rec) or (not here and barrier(rec, linkOf('o' .. int(rec.id)), n)) or nil
  if why then return 'BARRED', why end
  local step = stepOf(c)
  if step and step.need and not meets(rec, step.need) then return 'UNSKILLED' end
  local ok, over = room(rec, n, units(tm) - kept(rec, c), ask, who)
  if not ok then return over end
  return nil, over
end
-- mayCome: may an operator take part in a chat, in a role?
local function mayCome(rec, c, role)
  local why, n = absent(rec), tally(rec)
  if why then return 'BARRED', why end
  if chats(n) + (n.unseen or 0) - n.chat >= MAXPARTS then return 'BARRED', 'parts' end
  if crowded(c, role, int(rec.id)) then return 'CROWDED' end -- their own invite ends when they come
end

-- moved records where a chat went, by whom, and why there.
local function moved(c, who, to, from, t, strategy)
  redis.call('XADD', DECIDED, 'MAXLEN', '~', 10000, '*', 'chat', int(c.id), 'team', int(t), 'group', int(c.group or 0),
    'strategy', strategy, 'turn', '0', 'want', '1', 'key', '', 'seen', '', 'got', to, 'by', who)
  redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', strategy, 'who', to, 'chat', int(c.id), 'by', who, 'holder', from, 'team', int(t))
end
-- inTeam makes a chat another team's; its rank and waiting time stay. A person has
-- said where it belongs: it overflows from there no more.
local function inTeam(c, t, tm)
  c.team, c.flowed, c.ask, c.held = t, 1, nil, nil
  c.asks = tm.gone == 'ask' and 1 or nil -- as enqueue has it: it may go back to waiting there
  c.group = tm.group
  c.score = int(tm.group * BAND + c.rank)
end
-- enter gives an operator, whose record is open, a part in an active chat.
local function enter(c, rec, role, token)
  local id = int(rec.id)
  local had = c.with and c.with[id]
  if had then drop(rec, parts.WORK[had.r] .. int(c.id)) end
  if had and had.r == 'monitor' then parts.audit('monitoring ended', id, c, 'o' .. id) end
  c.with = c.with or {}
  c.with[id] = {r = role, n = rec.name, at = NOW, tok = token}
  if role ~= 'monitor' then
    c.ops = c.ops or {}
    c.ops[id] = 1
  end
  hold(rec, parts.WORK[role] .. int(c.id), 0)
  putChat(c)
  settle(rec)
  if role == 'monitor' then
    local f = parts.frame(c)
    f.role = 'monitor'
    tell({'o' .. id}, 'k', cjson.encode(f) .. '\t' .. cjson.encode(c))
  end
  local was = had and had.r ~= 'monitor' and had.r
  parts.changed(c, was and role ~= 'join' and was or role)
end
-- hand makes an active chat another operator's, whose record is open: the holder's
-- time with it ends, everybody else stays. by: person who did it.
local function hand(c, to, t, tm, token, by, strategy, over)
  local cid, id, from = int(c.id), int(to.id), open(int(c.op))
  for other, v in pairs(c.invites or {}) do
    if v.k == 'transfer' and other ~= id then
      local rec = open(other)
      parts.uninvite(rec, cid, 'superseded')
      settle(rec)
    end
  end
  c = get(CHAT, cid)
  local had, v = c.with and c.with[id], c.invites and c.invites[id]
  if had then
    drop(to, parts.WORK[had.r] .. cid)
    if had.r == 'monitor' then parts.audit('monitoring ended', id, c, by) end
    c.with[id] = nil
    if not next(c.with) then c.with = nil end
  end
  if v then
    drop(to, 'invite:' .. cid)
    redis.call('ZREM', DUE, 'part/' .. org .. '/' .. cid .. '/' .. id)
    c.invites[id] = nil
    if not next(c.invites) then c.invites = nil end
    tell({'o' .. id}, 'e', {t = 'offer.gone', chat = c.id, reason = 'accepted'})
  end
  if t ~= c.team then inTeam(c, t, tm) end
  c.ops = c.ops or {}
  c.ops[id] = 1
  c.op, c.opname, c.token, c.over = to.id, to.name, token, over and 1 or nil
  c.taken, c.lost, c.warned, c.dozes, c.back = NOW, nil, nil, nil, nil -- timers begin anew
  arm(c, tm)
  hold(to, 'chat:' .. cid, units(tm))
  putChat(c)
  if from then
    finish(from, 'chat:' .. cid)
    settle(from)
  end
  settle(to)
  moved(c, by, id, int(from and from.id or 0), t, strategy)
  if from then parts.gone({'o' .. int(from.id)}, c, strategy) end
  tellChat(c)
  return c
end
-- ask puts an invite: the chat stays whose it is until it is accepted.
local function ask(c, rec, kind, t, size, who, over, text)
  local id, ttl = int(rec.id), (team(c.team) or {}).offer_ms or 15000
  c.tries = (c.tries or 0) + 1
  c.invites = c.invites or {}
  local v = {k = kind, tok = 'i' .. NONCE .. '.' .. c.tries, by = 'o' .. int(who.id), byname = who.name, n = rec.name, t = t, size = size,
    over = over and 1 or nil, text = text ~= '' and text or nil}
  c.invites[id] = v
  hold(rec, 'invite:' .. int(c.id), size)
  putChat(c)
  later(ttl, 'part/' .. org .. '/' .. int(c.id) .. '/' .. id)
  settle(rec)
  tell({'o' .. id}, 'e', {t = 'offer', chat = c.id, token = v.tok, ttl_ms = ttl, team = t, waited_ms = NOW - c.since, visitor = visitorOf(c),
    role = kind == 'transfer' and 'hold' or kind, from = {id = who.id, name = who.name}, text = v.text})
  parts.changed(c, 'consult') -- visitors are told of no invite
end
-- unoffer takes the offers of a chat back; it waits then.
local function unoffer(c)
  if c.state ~= 'offered' then return c end
  for id in pairs(c.offers) do
    local rec = open(id)
    parts.release(rec, int(c.id), 'superseded')
    settle(rec)
  end
  return get(CHAT, c.id)
end
