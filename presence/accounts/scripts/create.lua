-- create.lua: write a thing under a name that must be free, and list it.
--
-- KEYS[1]  hash of names: name -> value
-- KEYS[2]  the thing itself, a string; "" values are not written
-- KEYS[3]  set that lists the thing
-- ARGV[1]  name
-- ARGV[2]  value of the name
-- ARGV[3]  text of the thing
-- ARGV[4]  member of the list
-- ARGV[5]  most members of the list, 0 for no bound
--
-- Returns {'OK'}, {'TAKEN'} when the name is in use, {'FULL'} when the list is.
-- Stays true: a name leads to a thing that exists and is listed.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  return {'TAKEN'}
end
local most = tonumber(ARGV[5])
if most > 0 and redis.call('SCARD', KEYS[3]) >= most then
  return {'FULL'}
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[3])
redis.call('SADD', KEYS[3], ARGV[4])
return {'OK'}
