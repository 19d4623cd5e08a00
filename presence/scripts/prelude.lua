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
-- Stays true  what a step tells is numbered and sent when it replies, not before; times
--             are Redis milliseconds. Further: operator.lua, settle.lua.
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
