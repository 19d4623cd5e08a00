-- The last prelude: which operator gets which waiting chat. It stands behind
-- presence's and open.lua; every script that may make a pair ends in match().
--
-- KEYS 17     decisions; 18, 19 last operators of visitors, two periods (routing/keys.go)
-- ARGV 3      nonce of the caller: part of every offer token, so that a token
--             cannot come back to life when a counter does (rollback)
-- Stays true  a chat is taken only from 'waiting', by an operator for whom fit()
--             and meets() hold in this step; every offer has a deadline; of two
--             chats that one operator could take, the one of lower rank is given.
-- each run:
local deaf = {}
-- once:
local function hears(op) -- an edge on a live incarnation that hears this partition
  for i in string.gmatch(linkOf('o' .. op) or '', '%d+') do
    if deaf[i] == nil then deaf[i] = redis.call('SISMEMBER', DEAF, i) end
    if deaf[i] == 0 then return true end
  end
  return false
end
-- candidates of a chat's group in the order of the team's strategy, at most n
local function candidates(c, tm, n, turn)
  local lo, hi = int(c.group * BAND), '(' .. int((c.group + 1) * BAND)
  if tm.strategy == 'mod' then
    local count = redis.call('ZCOUNT', FREE, lo, hi)
    if count == 0 then return {} end
    local base, at = redis.call('ZCOUNT', FREE, '-inf', '(' .. lo), c.id % count
    local list = redis.call('ZRANGE', FREE, base + at, base + math.min(at + n, count) - 1)
    for _, m in ipairs(redis.call('ZRANGE', FREE, base, base + math.min(at, n) - 1)) do list[#list + 1] = m end
    return list
  end
  if tm.strategy == 'round_robin' then
    local list = redis.call('ZRANGEBYSCORE', FREE, '(' .. int(c.group * BAND + turn), hi, 'LIMIT', 0, n)
    for _, m in ipairs(redis.call('ZRANGEBYSCORE', FREE, lo, int(c.group * BAND + turn), 'LIMIT', 0, n - #list)) do list[#list + 1] = m end
    return list
  end
  return redis.call('ZRANGEBYSCORE', FREE, lo, hi, 'LIMIT', 0, n)
end
-- each gives candidates one by one: the first few, who will do nearly always, and
-- then all n.
local function each(c, tm, few, n, turn)
  local met, list, k = {}, nil, 0
  if tm.strategy == 'mod' or few > n then few = n end
  return function()
    while true do
      k = k + 1
      if not list then list = candidates(c, tm, few, turn)
      elseif k > #list and k > few and few < n then list, few, k = candidates(c, tm, n, turn), n, 1 end
      local member = list[k]
      if not member then return nil end
      if not met[member] then
        met[member] = true
        return member
      end
    end
  end
end

local function standing(member) return tonumber(redis.call('ZSCORE', FREE, member)) % BAND end -- in its band: the lower is asked first

-- suits opens an operator who can take a chat of some units and need now; else
-- it returns nil and the rule that keeps them from it. Either goes on a list:
-- op,units,last,rule (decisions.go reads it, and the line: op,score).
local function suits(op, size, need, seen)
  local rec = open(op)
  if not rec then return nil, 'account' end
  local n = tally(rec)
  local why = barrier(rec, linkOf('o' .. op), n) or (n.units + size > limit(rec) and 'full')
    or (need and not meets(rec, need) and 'skill') or (not hears(op) and 'deaf') or nil
  if seen then seen[#seen + 1] = table.concat({op, n.units, rec.last or 0, why or ''}, ',') end
  return not why and rec or nil, why
end

-- give reserves a chat for operators, or hands it to the first where the team
-- accepts by itself.
local function give(c, recs, tm)
  local ttl = tm.offer_ms or 15000
  for _, rec in ipairs(recs) do
    c.tries = (c.tries or 0) + 1
    rec.last = nextTurn()
    if tm.strategy == 'round_robin' then redis.call('HSET', ORG, 'rr:' .. int(c.team), int(rec.id)) end
    if tm.auto_accept then
      activate(c, rec, NONCE .. '.' .. c.tries)
      return tellChat(c)
    end
    c.offers = c.offers or {}
    c.offers[int(rec.id)] = NONCE .. '.' .. c.tries
  end
  c.state, c.units, c.still = 'offered', units(tm), nil -- who is asked whether they are there is not any more
  redis.call('ZREM', DUE, 'still/' .. org .. '/' .. int(c.id))
  redis.call('ZREM', QUEUE, c.id)
  putChat(c)
  later(ttl, 'offer/' .. org .. '/' .. int(c.id))
  for _, rec in ipairs(recs) do
    hold(rec, 'offer:' .. int(c.id), c.units)
    settle(rec)
    tell({'o' .. int(rec.id)}, 'e', {t = 'offer', chat = c.id, token = c.offers[int(rec.id)], ttl_ms = ttl, team = c.team,
      waited_ms = NOW - c.since, visitor = visitorOf(c)})
  end
end

-- former returns the visitor's last operator where the chat is theirs now; and
-- true while the chat waits for them, who is here but full.
local function former(c, size, need, seen)
  local id = int(c.last)
  local rec = suits(id, size, need)
  if rec and not (c.declined and c.declined[id]) then
    seen[1] = id .. ',0,0,last'
    return rec
  end
  if not rec and c.lastuntil and NOW < c.lastuntil then
    rec = open(id)
    if rec and not barrier(rec, linkOf('o' .. id), tally(rec)) then return nil, true end
  end
  c.last, c.lastuntil = nil, nil
end

-- there says whether an operator may be troubled with a chat whose team asks visitors
-- first: who has shown no sign of life for a while is asked, and answers or not (still.lua).
local function there(c, tm)
  if c.still then return false end
  if NOW - (c.seen or c.since) < (tm.still_after_ms or 60000) then return true end
  local ms = tm.still_ms or 30000
  c.still, c.asks = NOW + ms, 1
  putChat(c)
  later(ms, 'still/' .. org .. '/' .. int(c.id))
  tellVisitor(c)
  return false
end

-- pair finds operators for one waiting chat. Who declined it, or let it pass, is
-- not asked while anyone else can be, nor before a pause. Returns true when the
-- chat is given; else whether another chat of its group might fare better.
local function pair(c, tm)
  local size, step, again, list, seen, line, upto = units(tm), stepOf(c), nil, {}, {}, {}, 0
  local turn = tm.strategy == 'round_robin' and redis.call('HGET', ORG, 'rr:' .. int(c.team)) or '0'
  local need, want = step and step.need, tm.auto_accept and 1 or tm.offers or 1
  local own = c.last and true or false
  if c.last then
    local rec, waits = former(c, size, need, seen)
    if waits then return false, true end
    list[1] = rec
  end
  if #list == 0 then
    local declined, n = c.declined, 16 + want
    if need and c.group == tm.group then n = 250 end -- no group of its own (groupOf)
    if declined then
      own = true
      for _ in pairs(declined) do n = n + 1 end
    end
    local k = 0
    for member in each(c, tm, declined and n or want + 3, math.min(n, 250), turn) do
      k = k + 1
      if k == 1 and tm.strategy == 'mod' then
        turn = redis.call('ZCOUNT', FREE, int(c.group * BAND), '(' .. int((c.group + 1) * BAND)) .. ':' .. int(standing(member))
      end
      local op = string.match(member, ':(%d+)$')
      if #list == want then -- who would have been next is only noted
        if k > upto + 3 then break end
        if not (declined and declined[op]) then line[#line + 1] = op .. ',' .. int(standing(member)) end
      elseif declined and declined[op] then
        local rec, why = nil, 'declined'
        if declined[op] <= NOW then
          rec, why = suits(op, size, need)
          if rec and (not again or declined[op] < declined[again]) then again = op end
        end
        if #seen < 16 or rec then seen[#seen + 1] = op .. ',' .. int(declined[op]) .. ',0,' .. (why or 'passed') end
      else
        local rec, why = suits(op, size, need, #seen < 16 and seen)
        if rec then
          list[#list + 1], upto = rec, k
          line[#line + 1] = op .. ',' .. int(standing(member))
        elseif why == 'deaf' then -- behind the others, until the operator changes
          local at = tonumber(redis.call('ZSCORE', FREE, member))
          if at % BAND < LATE then redis.call('ZADD', FREE, int(at + LATE), member) end
          own = true
        else
          own = true -- free, and does not suit: the team's groups are all in use
        end
      end
    end
    if #list == 0 and again then
      list[1] = open(again)
      seen[#seen + 1] = again .. ',0,0,again'
    end
  end
  if #list == 0 then return false, own end
  if tm.gone == 'ask' and not there(c, tm) then return false, true end
  local wanted = c.last and {} or asked(c, tm) -- a webhook may prefer others of the group
  if wanted == 'wait' then return false, true end
  for _, op in ipairs(wanted) do
    local score = redis.call('ZSCORE', FREE, int(c.group) .. ':' .. op)
    local other = score and tonumber(score) >= 0 and not (c.declined and c.declined[op]) and suits(op, size, need)
    if other then
      list = {other}
      seen[#seen + 1] = op .. ',0,0,asked'
      break
    end
  end
  local ids = {}
  for k, rec in ipairs(list) do ids[k] = int(rec.id) end
  c.decided = redis.call('XADD', DECIDED, 'MAXLEN', '~', 10000, '*', 'chat', int(c.id), 'team', int(c.team), 'group', int(c.group),
    'strategy', tm.strategy or 'least_loaded', 'turn', turn, 'want', want, 'key', step and step.key or '',
    'seen', table.concat(seen, ';'), 'line', table.concat(line, ';'), 'got', table.concat(ids, ','), 'prev', c.decided or '')
  give(c, list, tm)
  return true
end

-- A long line of chats that nobody may have now (declined by who is free, whose visitors
-- are asked) must not hide one behind them. A run that has looked at LOOKS / 2 from the
-- head goes on where the last one left off, which stands in ORG 'scan' with when this
-- second's scan began: it takes SCAN ms of each second at most.
local LOOKS, SCAN, GIVES = 250, 200, 6
local function goOn(lines)
  local rank = tonumber(string.match(redis.call('HGET', ORG, 'scan') or '', '^%d+'))
  for _, line in ipairs(rank and lines or {}) do
    if line.rank < rank then line.rank, line.ids = rank, nil end
  end
end
local function leaveOff(lines)
  if #lines == 0 then redis.call('HDEL', ORG, 'scan') return false end
  local rank, since = lines[1].rank, tonumber(string.match(redis.call('HGET', ORG, 'scan') or '', '(%d+)$') or '0')
  for _, line in ipairs(lines) do rank = math.min(rank, line.rank) end
  if NOW - since >= 1000 then since = NOW end
  redis.call('HSET', ORG, 'scan', int(rank) .. ' ' .. int(since))
  return NOW - since < SCAN
end

-- match serves the lines of all groups, lowest rank first over all of them, at
-- most GIVES given and LOOKS looked at, so that others wait for 1 or 2 ms; WAKE stays '1' when there may be more to do. A line
-- ends with its first chat for whom nobody is free: the next would not fare better.
-- Returns how many it gave, and whether a further run may find more.
local function match()
  local lo, looked, made, lines, on = 0, 0, 0, {}, false
  WAKE = redis.call('HEXISTS', ORG, 'fill') == 1 and '1' or '0'
  if NOW < HOLD then return 0 end -- after a failover: what looks free may be taken
  while lo < 512 do
    local first = redis.call('ZRANGEBYSCORE', QUEUE, int(lo * BAND), '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not first[1] then break end
    local g = math.floor(tonumber(first[2]) / BAND)
    if redis.call('ZCOUNT', FREE, int(g * BAND), '(' .. int((g + 1) * BAND)) > 0 then
      lines[#lines + 1] = {g = g, rank = tonumber(first[2]) - g * BAND}
    end
    lo = g + 1
  end
  while #lines > 0 and made < GIVES and looked < LOOKS do
    if looked == LOOKS / 2 then goOn(lines) end
    local at = 1
    for k = 2, #lines do
      if lines[k].rank < lines[at].rank then at = k end
    end
    local line = lines[at]
    if not line.ids or line.k > #line.ids then -- the next page; mostly one chat is given, or many
      line.size = line.size and 8 or 2
      line.ids = redis.call('ZRANGEBYSCORE', QUEUE, int(line.g * BAND + line.rank), '(' .. int((line.g + 1) * BAND), 'WITHSCORES', 'LIMIT', 0, line.size)
      line.k, line.chats = 1, {}
      for k = 1, #line.ids, 2 do line.chats[#line.chats + 1] = line.ids[k] end
      if line.chats[1] then line.chats = redis.call('HMGET', CHAT, unpack(line.chats)) end
    end
    local cid, stays = line.ids[line.k], false
    local raw = cid and line.chats[(line.k + 1) / 2]
    local c = raw and cjson.decode(raw)
    local tm = c and team(c.team)
    if c then
      looked = looked + 1
      local done, other = false, false
      if not tm then other = true
      elseif held(c, tm) then -- it is closed; of those behind most came later, and are held too
        line.held = (line.held or 0) + 1
        other = line.held <= 16
      elseif tm.strategy ~= 'pick' then done, other = pair(c, tm) end
      if done then made = made + 1 end
      stays = done or other
    elseif cid then
      redis.call('ZREM', QUEUE, cid)
      stays = true
    end
    line.k = line.k + 2
    if not stays then
      table.remove(lines, at)
    elseif line.ids[line.k] then
      line.rank = tonumber(line.ids[line.k + 1]) - line.g * BAND
    elseif line.k > 2 * line.size then
      line.rank = line.rank + 1
    else
      table.remove(lines, at)
    end
  end
  if looked > LOOKS / 2 then on = leaveOff(lines) end
  if made >= GIVES or (made > 0 and looked >= LOOKS) or on then WAKE = '1' end
  if redis.call('EXISTS', QUEUE) == 0 then redis.call('ZREM', DUE, 'queue/' .. org .. '/0') WAKE = '0' end
  if redis.call('HEXISTS', ORG, 'asks') == 1 then WAKE = '1' end
  if made > 0 then castQueue() end
  return made, on
end
