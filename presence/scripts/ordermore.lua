-- ordermore: say of people whether an order means them; who looked says so too.
-- KEYS 17 to-do set; 18 set of who has yet to look; 19 results; 20 marks (operator id
--   -> flags|why)
-- ARGV 3 order id; 4 who has finished looking: an incarnation, '0' for the names, ''
--   for nobody yet, 'again' to ask those once more who have not; 5 '1' when only people inside the networks are meant; 6 '1'
--   standing; 7 ms for which people of a node that died without looking may come
--   back elsewhere, 0 in a dry run; 8.. pairs of operator id and mark (at most 100): a flag and, after a
--   blank, why. Flags: n named, i inside, o outside too where that spares, x excepted
-- Returns OK, how many have yet to look, to-do size | CANCELLED
-- Stays true: an operator who has a result is not added again (but by a standing
--   order, whose result is the last); while anybody is to do or has to look the
--   order has a deadline; names count only while names are looked for. When a node
--   died before it looked, the order stays due on the list 'late' for ARGV 7: its
--   people are in grace for less, and who connects out of a grace is looked at.
local id, standing = ARGV[3], ARGV[6] == '1'
local phase = redis.call('HGET', ORDER, id .. ':phase')
if not phase or phase == 'cancelled' then return reply('CANCELLED', 0, 0) end
local finding = redis.call('SISMEMBER', KEYS[18], '0') == 1
for k = 8, #ARGV, 2 do
  local op, flag, why = ARGV[k], string.sub(ARGV[k + 1], 1, 1), string.sub(ARGV[k + 1], 3)
  if flag ~= 'n' or finding then
    local flags, said = string.match(redis.call('HGET', KEYS[20], op) or '|', '^(%a*)|(.*)$')
    if standing and phase == 'done' then flags, said = '', '' end -- a newcomer, judged by this connection
    if not string.find(flags, flag, 1, true) then
      flags = flags .. flag
      if why ~= '' then said = said == '' and why or said .. '; ' .. why end
      redis.call('HSET', KEYS[20], op, flags .. '|' .. said)
    end
    local inside = string.find(flags, 'i', 1, true) and not string.find(flags, 'o', 1, true)
    local named = string.find(flags, 'n', 1, true) and ARGV[5] ~= '1'
    if string.find(flags, 'x', 1, true) or not (inside or named) then
      redis.call('SREM', KEYS[17], op)
    elseif standing or redis.call('HEXISTS', KEYS[19], op) == 0 then
      redis.call('SADD', KEYS[17], op)
    end
  end
end
if ARGV[4] ~= '' then redis.call('SREM', KEYS[18], ARGV[4]) end
for _, i in ipairs(redis.call('SMEMBERS', KEYS[18])) do -- the dead look at nothing
  if i ~= '0' and redis.call('SISMEMBER', LIVE, i) == 0 then
    redis.call('SREM', KEYS[18], i)
    redis.call('HSET', ORDER, id .. ':late', int(NOW + ARGV[7]))
  end
end
local awaited, todo = redis.call('SCARD', KEYS[18]), redis.call('SCARD', KEYS[17])
if awaited == 0 and not standing then
  shut(id, 'open')
  shut(id, 'late')
  local late, listed = tonumber(redis.call('HGET', ORDER, id .. ':late') or '0'), redis.call('HGET', ORDER, 'late')
  if late > NOW then
    redis.call('HSET', ORDER, 'late', (listed and listed ~= '') and (listed .. ',' .. id) or id)
    redis.call('ZADD', DUE, 'NX', int(late), 'order/' .. org .. '/' .. id)
  end
end
if ARGV[4] == 'again' and awaited > 0 then cast('order', id) end
redis.call('HSET', ORDER, id .. ':todo', todo)
if todo > 0 then -- the order may have been done already
  if phase == 'done' then redis.call('HSET', ORDER, id .. ':phase', '') end
  redis.call('ZADD', DUE, 'NX', int(NOW + 2000), 'order/' .. org .. '/' .. id)
end
return reply('OK', awaited, todo)
