-- refreshnew.lua: begin a family of refresh tokens of an operator.
--
-- KEYS[1]  hash of the operator's families:
--          id -> "hash:previous hash:spent at:expiry:person"
-- ARGV[1]  id of the new family
-- ARGV[2]  hash of its first token
-- ARGV[3]  life in milliseconds
-- ARGV[4]  most families of one operator
-- ARGV[5]  person, opaque here
--
-- Returns {'OK'}.
-- Stays true: no more families than ARGV[4]; families that are over are gone;
-- the key lives as long as its youngest family.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local all = redis.call('HGETALL', KEYS[1])
local living, oldest, first = 0, nil, nil
for i = 1, #all, 2 do
  local expiry = tonumber(string.match(all[i + 1], '^[^:]*:[^:]*:%d+:(%d+):'))
  if not expiry or expiry <= now then
    redis.call('HDEL', KEYS[1], all[i])
  else
    living = living + 1
    if not first or expiry < first then
      oldest, first = all[i], expiry
    end
  end
end
if living >= tonumber(ARGV[4]) then
  redis.call('HDEL', KEYS[1], oldest)
end
local expiry = string.format('%.0f', now + tonumber(ARGV[3]))
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. '::0:' .. expiry .. ':' .. ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'OK'}
