-- rate: may one more request of an organization be taken? One bucket for all nodes.
-- KEYS 1 bucket: Redis µs at which it is full again; none is full
-- ARGV 1 µs until a token comes back; 2 tokens of a full bucket
-- Returns 0 when a token was taken, or the µs until there is one (nothing was written)
-- Stays true: within any t µs at most ARGV 2 + t / ARGV 1 requests are taken; the key
--   lives no longer than a bucket takes to fill.
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local every = tonumber(ARGV[1])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + every
local wait = full - now - every * ARGV[2]
if wait > 0 then return math.ceil(wait) end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return 0
