-- number: the id of a next chat.
-- (loaded alone)
-- KEYS 1 meta; 2 organization   ARGV 1 organization; 2 incarnation
-- Returns {OK, gen, ctr, '0', id}
-- Stays true: an id is given once. After a change of server the last ids may be
--   lost, so that a number of them is left out.
local m = redis.call('HMGET', KEYS[1], 'gen', 'ctr', 'srv')
if m[3] ~= me then return elsewhere() end
local o = redis.call('HMGET', KEYS[2], 'chats', 'chatgen')
local id = tonumber(o[1] or '0') + 1
if o[2] and o[2] ~= m[1] then id = id + 100000 end
id = string.format('%.0f', id)
redis.call('HSET', KEYS[2], 'chats', id, 'chatgen', m[1] or '1')
return {'OK', m[1] or '1', m[2] or '0', '0', id}
