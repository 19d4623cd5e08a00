-- refreshrotate.lua: spend a refresh token and store its successor.
--
-- KEYS[1]  hash of the operator's families:
--          id -> "hash:previous hash:spent at:expiry:person"
-- ARGV[1]  id of the family
-- ARGV[2]  hash of the token that is presented
-- ARGV[3]  hash of its successor, always the same for the same token
-- ARGV[4]  life of the successor in milliseconds
-- ARGV[5]  how long in milliseconds the same token may ask again
--
-- Returns {'OK', person}, {'GONE'} when the family ended or never was, or
-- {'REUSED'} when the token was spent: somebody holds a copy, so the family is
-- ended for both. A client that lost the answer, and a second tab, may repeat
-- within ARGV[5] and get the same successor, as long as that is unspent.
-- Stays true: a family has one token that leads on.
local record = redis.call('HGET', KEYS[1], ARGV[1])
if not record then
  return {'GONE'}
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local hash, previous, spent, expiry, person = string.match(record, '^([^:]*):([^:]*):(%d+):(%d+):(.*)$')
if not hash or tonumber(expiry) <= now then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return {'GONE'}
end
if previous == ARGV[2] and hash == ARGV[3] and now - tonumber(spent) <= tonumber(ARGV[5]) then
  return {'OK', person}
end
if hash ~= ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return {'REUSED'}
end
expiry = string.format('%.0f', now + tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], ARGV[1],
  ARGV[3] .. ':' .. hash .. ':' .. string.format('%.0f', now) .. ':' .. expiry .. ':' .. person)
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return {'OK', person}
