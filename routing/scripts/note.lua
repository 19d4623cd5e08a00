-- note: store a note of an operator in a chat and nudge the nodes of its operators.
-- (loaded alone, like append)
-- KEYS 1 meta; 2 live; 3 iq; 4 link; 5 chats; 6 notes
-- ARGV 1 organization; 2 incarnation; 3 operator (o5); 4 chat id; 5 client message id;
--   6 fragment: the note's JSON after its first brace, from "from" on; 7 most notes a
--   chat; 8 ms that notes are kept after the last
-- Returns {OK|DUP, gen, ctr, '0', seq, at} | FENCED | NOTFOUND | FORBIDDEN | FULL
-- Stays true: a note is told to operators who hold the chat or have a part in it, and
--   stands in a key that nothing reads for a visitor: they never get one.
local org, inc, person, cid = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local head = redis.call('HMGET', KEYS[1], 'gen', 'ctr', 'srv')
if head[3] ~= me then return elsewhere() end
if redis.call('SISMEMBER', KEYS[2], inc) == 0 then return {'FENCED', '0', '0', '0'} end
local gen, ctr = head[1] or '1', head[2] or '0'
local raw = redis.call('HGET', KEYS[5], cid)
local c = raw and cjson.decode(raw)
local id = string.match(person, '^o(%d+)$')
if not c or not id then return {'NOTFOUND', gen, ctr, '0'} end
local op = c.state == 'active' and c.op and string.format('%.0f', c.op)
if id ~= op and not (c.with and c.with[id]) then
  return {c.ops and c.ops[id] and 'FORBIDDEN' or 'NOTFOUND', gen, ctr, '0'}
end
local cmid = 'c:' .. person .. '/' .. ARGV[5]
local known = redis.call('HGET', KEYS[6], cmid)
if known then
  local seq, at = string.match(known, '^(%d+)-(%d+)$')
  return {'DUP', gen, ctr, '0', seq, at}
end
local seq = tonumber(redis.call('HGET', KEYS[6], '#') or '0') + 1
if seq > tonumber(ARGV[7]) then return {'FULL', gen, ctr, '0'} end
local clock = redis.call('TIME')
local at = string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000))
local frame = '{"t":"note","chat":' .. cid .. ',"seq":' .. seq .. ',"at":' .. at .. ',' .. ARGV[6]
redis.call('HSET', KEYS[6], '#', seq, tostring(seq), frame, cmid, seq .. '-' .. at)
redis.call('PEXPIRE', KEYS[6], ARGV[8])
local nodes, order, hearers = {}, {}, {op and 'o' .. op or nil}
for other in pairs(c.with or {}) do hearers[#hearers + 1] = 'o' .. other end
for _, p in ipairs(hearers) do
  for i in string.gmatch(redis.call('HGET', KEYS[4], p) or '', '%d+') do
    if nodes[i] then nodes[i] = nodes[i] .. ',' .. p else nodes[i] = p; order[#order + 1] = i end
  end
end
local channel = string.sub(KEYS[1], 1, -5) .. 'in:'
for _, i in ipairs(order) do
  local n = redis.call('HINCRBY', KEYS[3], i, 1)
  redis.call('PUBLISH', channel .. i, table.concat({gen, n, org, nodes[i], 'e', frame}, '\t'))
end
return {'OK', gen, ctr, '0', tostring(seq), at}
