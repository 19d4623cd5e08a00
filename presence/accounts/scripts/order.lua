-- order: the id of a next logout order.
-- KEYS 1 ids   ARGV 1 the field of orders
-- Returns the id
-- Stays true: no id is given twice, even when a failover loses the last ones: two
--   orders of one id would be one order. It is at least the seconds since 2025.
local last, clock = tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or '0'), redis.call('TIME')
local id = string.format('%.0f', math.max(last + 1, clock[1] - 1735689600))
redis.call('HSET', KEYS[1], ARGV[1], id)
return id
