-- signingkey.lua: add a signing key and make it the one that signs.
--
-- KEYS[1]  hash of signing keys: id -> "created:sealed", and current -> id
-- ARGV[1]  id of the new key
-- ARGV[2]  the key, sealed
-- ARGV[3]  'first': only when there is none yet; 'rotate': always
-- ARGV[4]  most keys to keep
--
-- Returns {'OK'}, or {'HAS'} when 'first' came second.
-- Stays true: current names a key that is in the hash; at most ARGV[4] keys,
-- the oldest went first.
if ARGV[3] == 'first' and redis.call('HEXISTS', KEYS[1], 'current') == 1 then
  return {'HAS'}
end
local time = redis.call('TIME')
local now = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
redis.call('HSET', KEYS[1], ARGV[1], now .. ':' .. ARGV[2], 'current', ARGV[1])
local all = redis.call('HGETALL', KEYS[1])
local keys = {}
for i = 1, #all, 2 do
  if all[i] ~= 'current' and all[i] ~= ARGV[1] then
    keys[#keys + 1] = { id = all[i], created = tonumber(string.match(all[i + 1], '^(%d+):')) or 0 }
  end
end
table.sort(keys, function(a, b) return a.created > b.created end)
for i = tonumber(ARGV[4]), #keys do
  redis.call('HDEL', KEYS[1], keys[i].id)
end
return {'OK'}
