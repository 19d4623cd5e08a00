-- offlinedone: somebody has dealt with an offline message.
-- KEYS 17 offline messages
-- ARGV 3 id; 4 who
-- Returns OK | NOTFOUND
-- Stays true: who dealt with it first is kept; a repeat changes nothing.
local id = ARGV[3]
if redis.call('HEXISTS', KEYS[17], id) == 0 then return reply('NOTFOUND') end
if redis.call('HSETNX', KEYS[17], 'd:' .. id, '{"by":"' .. ARGV[4] .. '","at":' .. int(NOW) .. '}') == 1 then
  redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'offline message done', 'id', id, 'by', ARGV[4])
end
return reply('OK')
