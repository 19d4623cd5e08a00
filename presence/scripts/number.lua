-- number: the next incarnation number.
-- KEYS 1 last number given out
-- Returns the number
-- Stays true: no number is given twice, even when a failover loses the last ones:
--   it is at least the seconds since 2025, and a failover takes longer than nodes
--   need to use up a second each.
local last, clock = tonumber(redis.call('GET', KEYS[1]) or '0'), redis.call('TIME')
local n = string.format('%.0f', math.max(last + 1, clock[1] - 1735689600))
redis.call('SET', KEYS[1], n)
return n
