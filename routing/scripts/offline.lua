-- offline: a visitor leaves a message for a team that does not answer now.
-- KEYS 17 offline messages
-- ARGV 3 visitor; 4 client message id; 5 team; 6 message JSON behind id and at; 7 ms to
--   keep it; 8 most messages kept; 9 most of one visitor
-- Returns OK | DUP (it was left before), id, at | NOTEAM | FULL | TOOMANY
-- Stays true: a repeat of a client message id leaves nothing more; nothing is
--   dropped before its time unless somebody has dealt with it.
local BOX, visitor = KEYS[17], ARGV[3]
local cmid, count = 'c:' .. visitor .. '/' .. ARGV[4], 'n:' .. visitor
local had = redis.call('HGET', BOX, cmid)
if had then
  local old = redis.call('HGET', BOX, had)
  if old then return reply('DUP', had, int(cjson.decode(old).at)) end
end
if not team(ARGV[5]) then return reply('NOTEAM') end
local last, low = tonumber(redis.call('HGET', BOX, '#') or '0'), tonumber(redis.call('HGET', BOX, '<') or '1')
for _ = 1, 10 do -- old ones go as new ones come
  local raw = low <= last and redis.call('HGET', BOX, low)
  local old = raw and cjson.decode(raw)
  local dealt = redis.call('HEXISTS', BOX, 'd:' .. low) == 1
  if not old or not (NOW - old.at > tonumber(ARGV[7]) or dealt and last - low + 1 >= tonumber(ARGV[8])) then break end
  redis.call('HDEL', BOX, low, 'd:' .. low, 'c:' .. old.visitor .. '/' .. old.cmid)
  if redis.call('HINCRBY', BOX, 'n:' .. old.visitor, -1) <= 0 then redis.call('HDEL', BOX, 'n:' .. old.visitor) end
  low = low + 1
end
if last - low + 1 >= tonumber(ARGV[8]) then return reply('FULL') end
if tonumber(redis.call('HGET', BOX, count) or '0') >= tonumber(ARGV[9]) then return reply('TOOMANY') end
last = last + 1
redis.call('HSET', BOX, '#', last, '<', low, last, '{"id":' .. last .. ',"at":' .. int(NOW) .. ',' .. ARGV[6], cmid, last)
redis.call('HINCRBY', BOX, count, 1)
redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'offline message', 'id', last, 'team', ARGV[5], 'who', visitor)
return reply('OK', last, int(NOW))
