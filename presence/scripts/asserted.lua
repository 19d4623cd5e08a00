-- asserted: an incarnation has asserted all it holds under a generation.
-- KEYS 1 meta   ARGV 1 generation
-- Returns incarnations still awaited
-- Stays true: the hold on matching ends when the last of those who were live at
--   the change has asserted, or by its time.
if redis.call('HGET', KEYS[1], 'gen') ~= ARGV[1] then return 0 end
if redis.call('HEXISTS', KEYS[1], 'awaited') == 0 then return 0 end -- nobody knows for whom to wait
local left = redis.call('HINCRBY', KEYS[1], 'awaited', -1)
if left <= 0 then redis.call('HDEL', KEYS[1], 'hold', 'awaited') end
return left
