-- append: store one message and nudge the nodes of both parties.
-- (loaded alone: it is the hottest script and touches no operator)
-- KEYS 1 meta; 2 live; 3 iq; 4 link; 5 chats; 6 log; 7 message ids; 8 typing; 9 closed record; 10 deadlines
-- ARGV 1 organization; 2 incarnation; 3 person; 4 chat id; 5 client message id;
--   6 fragment: the message's JSON after its first brace, from "from" on; 7 most messages a chat;
--   8 the last seq that an operator who writes has seen, '' not to be asked;
--   9 '1': the author has one socket on this node, which learns by the answer
-- Returns {OK|DUP, gen, ctr, '0', seq, gen of the entry, at, what the caller rings at once: '' | 'wake' | 'still'} | FENCED | CLOSED | NOTFOUND | FORBIDDEN | FULL
--   | NOTES: this operator consults or monitors and may only write notes
--   | BEHIND: a colleague has written since ARGV 8 (of the newest 250), nothing was stored
-- Stays true: seq counts 1, 2, 3 ... and is the entry id's first half; a client
--   message id is stored once and a repeat gets the first answer.
-- An author who is here by one socket only is not nudged: the copy would cost as much
--   as the message itself, and the answer says all that it says.
local org, inc, person, cid = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local head = redis.call('HMGET', KEYS[1], 'gen', 'ctr', 'srv')
if head[3] ~= me then return elsewhere() end
if redis.call('SISMEMBER', KEYS[2], inc) == 0 then return {'FENCED', '0', '0', '0'} end
local gen, ctr = head[1] or '1', head[2] or '0'
local id = person .. '/' .. ARGV[5]
local raw = redis.call('HGET', KEYS[5], cid)
local ids = redis.call('HMGET', KEYS[7], id, '#')
if ids[1] then
  local seq, g, at = string.match(ids[1], '^(%d+)-(%d+)-(%d+)$')
  return {'DUP', gen, ctr, '0', seq, g, at}
end
if not raw then -- over, for those who had a part in it; for others it never was
  local closed = redis.call('GET', KEYS[9])
  local was, opid = closed and cjson.decode(closed), string.match(person, '^o(%d+)$')
  local party = was and (person == was.visitor or (opid and was.ops and was.ops[opid]))
  return {party and 'CLOSED' or 'NOTFOUND', gen, ctr, '0'}
end
local c = cjson.decode(raw)
local op = c.state == 'active' and c.op and 'o' .. string.format('%.0f', c.op)
local staff = op == person
if not staff and person ~= c.visitor then -- one who joined writes too; who consults or monitors only notes
  local w = c.with and c.with[string.match(person, '^o(%d+)$') or '']
  if not w then return {'FORBIDDEN', gen, ctr, '0'} end
  if w.r ~= 'join' then return {'NOTES', gen, ctr, '0'} end
  staff = true
end
local seq = tonumber(ids[2] or '0') + 1
if seq > tonumber(ARGV[7]) then return {'FULL', gen, ctr, '0'} end
if ARGV[8] ~= '' and staff then
  local from = string.format('%.0f', tonumber(ARGV[8]) + 1) .. '-0'
  for _, e in ipairs(redis.call('XREVRANGE', KEYS[6], '+', from, 'COUNT', 250)) do
    for k = 1, #e[2], 2 do
      local who = e[2][k] == 'm' and string.match(e[2][k + 1], '^"from":"(o%d+)"')
      if who and who ~= person then return {'BEHIND', gen, ctr, '0'} end
    end
  end
end
local clock = redis.call('TIME')
local at = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
seq = string.format('%.0f', seq)
local pos = seq .. '-' .. gen
redis.call('XADD', KEYS[6], pos, 'at', at, 'm', ARGV[6])
redis.call('HSET', KEYS[7], '#', seq, id, pos .. '-' .. at)
redis.call('ZREM', KEYS[8], person, person .. '!')
-- A visitor who was silent, or is asked whether they are there. Only then, and for those
-- who wait in a team that asks, does a message cost more: one command, or two. What is
-- to be done is due at once, so that it is done also when the caller does not come to it.
local ring = ''
if (c.dozes or c.asks) and person == c.visitor then
  if c.state == 'active' and c.dozes then ring = 'wake' elseif c.still then ring = 'still' end
  if ring ~= '' then redis.call('ZADD', KEYS[10], at, ring .. '/' .. org .. '/' .. cid) end
  if c.still or c.state ~= 'active' then -- the question is answered here; what follows from it, still.lua does
    c.seen, c.still, c.rev = tonumber(at), nil, (c.rev or 0) + 1
    redis.call('HSET', KEYS[5], cid, cjson.encode(c))
  end
end
local frame = '{"t":"message","chat":' .. cid .. ',"pos":"' .. pos .. '","seq":' .. seq .. ',"at":' .. at .. ',' .. ARGV[6]
local parties = {c.visitor, op or nil}
for id in pairs(c.with or {}) do parties[#parties + 1] = 'o' .. id end
local links = redis.call('HMGET', KEYS[4], unpack(parties))
local nodes, order = {}, {}
for k, p in ipairs(parties) do
  local link = links[k] or ''
  if ARGV[9] == '1' and p == person and link == inc then link = '' end
  for i in string.gmatch(link, '%d+') do
    if nodes[i] then nodes[i] = nodes[i] .. ',' .. p else nodes[i] = p; order[#order + 1] = i end
  end
end
local channel = string.sub(KEYS[1], 1, -5) .. 'in:'
for _, i in ipairs(order) do
  local n = redis.call('HINCRBY', KEYS[3], i, 1)
  redis.call('PUBLISH', channel .. i, table.concat({gen, n, org, nodes[i], 'm' .. cid .. ':' .. seq, frame}, '\t'))
end
return {'OK', gen, ctr, '0', seq, gen, at, ring}
