-- number: the next incarnation number.
-- KEYS 1 last number given out
-- Returns the number
-- Stays true: no number is given twice, even when a failover loses the last ones
--   or the store is emptied: it is at least the hundredths of a second since 2025,
--   and nodes use up fewer.
local last, clock = tonumber(redis.call('GET', KEYS[1]) or '0'), redis.call('TIME')
local n = string.format('%.0f', math.max(last + 1, (clock[1] - 1735689600) * 100 + math.floor(clock[2] / 10000)))
redis.call('SET', KEYS[1], n)
return n
