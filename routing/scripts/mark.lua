-- mark: somebody types in a chat, or looks at it, or stops.
-- (loaded alone, like append)
-- KEYS 1 meta; 2 live; 3 iq; 4 link; 5 chats; 6 typing; 7 viewing
-- ARGV 1 organization; 2 incarnation; 3 person; 4 chat id; 5 typing | viewing;
--   6 ms it lives, 0 ends it; 7 '1': private, colleagues only; 8 the nudge's frame
-- Returns {OK, gen, ctr, '0'} | FENCED | NOTFOUND | FORBIDDEN
-- Stays true: a mark has an expiry of its own and the key expires as a whole; a
--   visitor is never told of a private mark, nor of a viewer (T-2).
local org, inc, person, cid, kind = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local ttl, private = tonumber(ARGV[6]), ARGV[7] == '1'
local head = redis.call('HMGET', KEYS[1], 'gen', 'ctr', 'srv')
if head[3] ~= me then return elsewhere() end
if redis.call('SISMEMBER', KEYS[2], inc) == 0 then return {'FENCED', '0', '0', '0'} end
local gen, ctr = head[1] or '1', head[2] or '0'
local raw = redis.call('HGET', KEYS[5], cid)
if not raw then return {'NOTFOUND', gen, ctr, '0'} end
local c = cjson.decode(raw)
local op = c.state == 'active' and c.op and 'o' .. string.format('%.0f', c.op) or nil
local visitor = string.sub(person, 1, 1) == 'v'
local part = not visitor and c.with and c.with[string.match(person, '^o(%d+)$') or '']
if part and part.r == 'monitor' then return {'OK', gen, ctr, '0'} end -- nobody learns of who monitors
local seen_ = person == op or (part and part.r == 'join') -- by the visitor
if visitor and person ~= c.visitor then return {'FORBIDDEN', gen, ctr, '0'} end
if visitor and (private or kind == 'viewing') then return {'FORBIDDEN', gen, ctr, '0'} end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if kind == 'typing' and not visitor and not seen_ and not part and not redis.call('ZSCORE', KEYS[7], person) then
  return {'FORBIDDEN', gen, ctr, '0'} -- an operator types where they hold, take part or view
end
local key, member = kind == 'typing' and KEYS[6] or KEYS[7], private and person .. '!' or person
if ttl > 0 then
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
  redis.call('ZADD', key, string.format('%.0f', now + ttl), member)
  redis.call('PEXPIRE', key, ttl * 2)
else
  redis.call('ZREM', key, member)
end
local hearers, seen = {}, {[person] = true}
local function hearer(p) if p and not seen[p] then seen[p] = true; hearers[#hearers + 1] = p end end
hearer(op)
if kind == 'typing' and not private and (visitor or seen_) then hearer(c.visitor) end
for id in pairs(c.with or {}) do hearer('o' .. id) end
for _, p in ipairs(redis.call('ZRANGEBYSCORE', KEYS[7], string.format('%.0f', now), '+inf', 'LIMIT', 0, 50)) do hearer(p) end
local nodes, order = {}, {}
for _, p in ipairs(hearers) do
  for i in string.gmatch(redis.call('HGET', KEYS[4], p) or '', '%d+') do
    if nodes[i] then nodes[i] = nodes[i] .. ',' .. p else nodes[i] = p; order[#order + 1] = i end
  end
end
local channel = string.sub(KEYS[1], 1, -5) .. 'in:'
for _, i in ipairs(order) do
  local n = redis.call('HINCRBY', KEYS[3], i, 1)
  redis.call('PUBLISH', channel .. i, table.concat({gen, n, org, nodes[i], 't', ARGV[8]}, '\t'))
end
return {'OK', gen, ctr, '0'}
