-- grace: the time of a lost socket is over; the person is offline unless back.
-- ARGV 3 person; 4 ms of further grace, 0 for none: who could not come back
--   because the store was away is not taken for gone on its return
-- Returns OK, '1' when the person went offline now
-- Stays true: nobody offline holds an offer; chats left behind have a deadline
--   ('lost' for an operator, 'gone' for a visitor) that routing answers.
local person = ARGV[3]
local alarm = 'grace/' .. org .. '/' .. person
if not rung(alarm) then return reply('OK', '0') end
if tonumber(ARGV[4]) > 0 then
  later(tonumber(ARGV[4]), alarm)
  return reply('OK', '0')
end
redis.call('ZREM', DUE, alarm)
if linkOf(person) ~= '-' then return reply('OK', '0') end
local id = string.match(person, '^o(%d+)$')
offline(person, id and open(id))
return reply('OK', '1')
