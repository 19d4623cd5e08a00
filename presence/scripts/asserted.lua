-- asserted: an incarnation has asserted all it holds under a generation.
-- KEYS 1 meta   ARGV 1 generation; 2 incarnation
-- Returns incarnations still awaited
-- Stays true: the hold on matching ends when the last of those who were live at
--   the change has asserted, or by its time; saying it twice is saying it once.
local m = redis.call('HMGET', KEYS[1], 'gen', 'awaited')
if m[1] ~= ARGV[1] or not m[2] then return 0 end -- nobody knows for whom to wait
local left = {}
for inc in string.gmatch(m[2], '%d+') do
  if inc ~= ARGV[2] then left[#left + 1] = inc end
end
if #left == 0 then redis.call('HDEL', KEYS[1], 'hold', 'awaited', 'risen')
else redis.call('HSET', KEYS[1], 'awaited', table.concat(left, ',')) end
return #left
