-- The last prelude: which operator gets which waiting chat. It stands behind
-- presence's and open.lua; every script that may make a pair ends in match().
--
-- ARGV 3      nonce of the caller: part of every offer token, so that a token
--             cannot come back to life when a counter does (rollback)
-- Stays true  a chat is taken only from 'waiting', by an operator for whom fit()
--             holds in this step; every offer has a deadline.
local NONCE = ARGV[3]

local function visitorOf(c)
  local v = c.info or {}
  return {id = c.visitor, name = v.name, email = v.email, page = v.page}
end
-- place in the queue, 1 is next; chats of other teams do not count
local function place(c) return redis.call('ZCOUNT', QUEUE, int(c.group * BAND), c.score) end
local function forVisitor(c)
  local f = {t = 'chat', chat = c.id, state = c.state, team = c.team, since = c.since, reason = c.reason}
  if c.state == 'offered' then f.state = 'waiting' end
  if c.state == 'waiting' then f.place, f.opens = place(c), opensFor(c) end
  if c.op and c.state ~= 'offered' then f.operator = {id = c.op, name = c.opname} end
  return f
end
local function forOperator(c)
  local f = forVisitor(c)
  f.state, f.visitor = c.state, visitorOf(c)
  local link = redis.call('HGET', LINK, c.visitor)
  f.here = (link and link ~= '-') and true or false
  return f
end
-- A party's nodes get the chat's record with it and keep it, to assert it when a
-- failover loses it (restore.lua).
local function tellVisitor(c) tell({c.visitor}, 'k', cjson.encode(forVisitor(c)) .. '\t' .. cjson.encode(c)) end
local function tellOperator(c) tell({'o' .. c.op}, 'k', cjson.encode(forOperator(c)) .. '\t' .. cjson.encode(c)) end
local function tellChat(c)
  tellVisitor(c)
  if c.op and c.state ~= 'offered' then tellOperator(c) end
end

-- enqueue puts a chat at its own place: the score is given once, at the start.
local function enqueue(c)
  c.state, c.op, c.opname, c.token = 'waiting', nil, nil, nil
  putChat(c)
  redis.call('ZADD', QUEUE, c.score, c.id)
  redis.call('ZADD', DUE, 'NX', int(NOW + 1000), 'queue/' .. org .. '/0')
end

local function hears(op) -- an edge on a live incarnation that hears this partition
  for i in string.gmatch(redis.call('HGET', LINK, 'o' .. op) or '', '%d+') do
    if redis.call('SISMEMBER', DEAF, i) == 0 then return true end
  end
  return false
end
-- candidates in the order of the team's strategy, at most 16
local function candidates(c, tm)
  local lo, hi = int(tm.group * BAND), '(' .. int((tm.group + 1) * BAND)
  if tm.strategy == 'mod' then
    local base = redis.call('ZCOUNT', FREE, '-inf', '(' .. lo)
    local n = redis.call('ZCOUNT', FREE, lo, hi)
    if n == 0 then return {} end
    local at = base + c.id % n
    local list = redis.call('ZRANGE', FREE, at, math.min(at + 15, base + n - 1))
    for _, m in ipairs(redis.call('ZRANGE', FREE, base, base + math.min(c.id % n, 16) - 1)) do list[#list + 1] = m end
    return list
  end
  if tm.strategy == 'round_robin' then
    local after = '(' .. int(tm.group * BAND + (tm.turn or 0))
    local list = redis.call('ZRANGEBYSCORE', FREE, after, hi, 'LIMIT', 0, 16)
    for _, m in ipairs(redis.call('ZRANGEBYSCORE', FREE, lo, hi, 'LIMIT', 0, 16 - #list)) do list[#list + 1] = m end
    return list
  end
  return redis.call('ZRANGEBYSCORE', FREE, lo, hi, 'LIMIT', 0, 16)
end

local function assign(c, rec, tm)
  c.op, c.opname, c.tries = rec.id, rec.name, (c.tries or 0) + 1
  c.token = NONCE .. '.' .. c.tries
  c.ops = c.ops or {}
  rec.last = redis.call('HINCRBY', ORG, 'turn', 1)
  redis.call('ZREM', QUEUE, c.id)
  if tm.strategy == 'round_robin' then
    tm.turn = rec.id
    put(TEAM, tostring(c.team), tm)
  end
  if tm.auto_accept then
    c.state = 'active'
    c.ops[tostring(rec.id)] = 1
    hold(rec, 'chat:' .. c.id)
    putChat(c)
    settle(rec)
    tellChat(c)
    return
  end
  c.state = 'offered'
  hold(rec, 'offer:' .. c.id)
  putChat(c)
  local ttl = tm.offer_ms or 15000
  later(ttl, 'offer/' .. org .. '/' .. c.id)
  settle(rec)
  tell({'o' .. rec.id}, 'e', {t = 'offer', chat = c.id, token = c.token, ttl_ms = ttl, team = c.team,
    waited_ms = NOW - c.since, visitor = visitorOf(c)})
end

-- suits opens an operator who can take the chat now
local function suits(c, op)
  if (c.declined and c.declined[op]) or not hears(op) then return nil end
  local rec = open(op)
  return rec and fit(rec, redis.call('HGET', LINK, 'o' .. op), tally(rec)) and rec or nil
end
-- pair finds an operator for one waiting chat. An operator who declined it is
-- passed over while anyone else is there. Returns whether it is given, else whether
-- the next of its team may fare better.
local function pair(c, tm)
  for _, member in ipairs(candidates(c, tm)) do
    local rec = suits(c, string.match(member, ':(%d+)$'))
    if rec then
      local wanted = asked(c, tm)
      if wanted == 'wait' then return false, true end
      for _, op in ipairs(wanted) do
        local score = redis.call('ZSCORE', FREE, int(c.team) .. ':' .. op)
        local other = score and tonumber(score) >= 0 and suits(c, op)
        if other then rec = other break end
      end
      assign(c, rec, tm)
      return true
    end
  end
  return false, c.declined ~= nil
end

-- match serves the queues of all groups, oldest first, at most 16 chats looked at
-- a group and 64 in all; WAKE stays '1' when there may be more to do.
local function match()
  local lo, looked, made = 0, 0, 0
  WAKE = '0'
  if NOW < HOLD then return 0 end -- after a failover: what looks free may be taken
  while lo < 256 and looked < 64 do
    local first = redis.call('ZRANGEBYSCORE', QUEUE, int(lo * BAND), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not first[1] then break end
    local group = math.floor(tonumber(first[2]) / BAND)
    local waiting = redis.call('ZRANGEBYSCORE', QUEUE, int(group * BAND), '(' .. int((group + 1) * BAND), 'LIMIT', 0, 16)
    local paired = 0
    for _, cid in ipairs(waiting) do
      looked = looked + 1
      local c = get(CHAT, cid)
      local tm = c and team(c.team)
      if not c then redis.call('ZREM', QUEUE, cid)
      elseif tm and held(c, tm) then looked = looked - 1 break -- it is closed: those behind came later
      elseif tm then
        local given, more = pair(c, tm)
        if given then paired = paired + 1 elseif not more then break end -- nobody is free
      end
    end
    made = made + paired
    if paired == #waiting or looked >= 64 then WAKE = '1' end
    lo = group + 1
  end
  if redis.call('EXISTS', QUEUE) == 0 then redis.call('ZREM', DUE, 'queue/' .. org .. '/0') WAKE = '0' end
  if redis.call('HEXISTS', ORG, 'asks') == 1 then WAKE = '1' end
  if made > 0 then castQueue() end
  return made
end
