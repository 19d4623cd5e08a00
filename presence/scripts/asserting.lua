-- asserting: an incarnation is still at work on asserting what it holds: the hold on
-- matching goes on.
-- KEYS 1 meta   ARGV 1 generation; 2 incarnation; 3 for how many ms from now; 4 ms after
--   the change at which it ends all the same
-- Returns ms the hold still lasts, 0 when there is none
-- Stays true: only an incarnation that is awaited (or any, when nobody knows who is)
--   prolongs a hold, and none that is over comes back.
local m = redis.call('HMGET', KEYS[1], 'gen', 'awaited', 'hold', 'risen')
local clock = redis.call('TIME')
local now, hold = clock[1] * 1000 + math.floor(clock[2] / 1000), tonumber(m[3] or '0')
if m[1] ~= ARGV[1] or hold <= now then return 0 end
if not m[2] or string.find(',' .. m[2] .. ',', ',' .. ARGV[2] .. ',', 1, true) then
  hold = math.max(hold, math.min(now + ARGV[3], (tonumber(m[4]) or now) + ARGV[4]))
  redis.call('HSET', KEYS[1], 'hold', string.format('%.0f', hold))
end
return math.floor(hold - now)
