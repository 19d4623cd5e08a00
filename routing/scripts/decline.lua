-- decline: an offer ends without being taken: declined, or its deadline rang.
-- ARGV 3 nonce; 4 operator id ('' when ringing); 5 chat id; 6 offer token ('' when
--   ringing); 7 reason: declined | timeout
-- Returns OK | STALE
-- Stays true: the chat keeps its place; this operator is passed over for it until
--   'again' rings; three silent offers in a row take the operator out of routing.
local c = get(CHAT, ARGV[5])
local alarm = 'offer/' .. org .. '/' .. ARGV[5]
if ARGV[7] == 'timeout' then
  if not rung(alarm) then return reply('STALE') end
  redis.call('ZREM', DUE, alarm)
end
if not c or c.state ~= 'offered' then return reply('STALE') end
if ARGV[7] == 'declined' and (int(c.op) ~= ARGV[4] or c.token ~= ARGV[6]) then return reply('STALE') end
local rec = open(int(c.op))
c.declined = c.declined or {}
c.declined[int(c.op)] = 1
putChat(c)
redis.call('ZADD', DUE, 'NX', int(NOW + 10000), 'again/' .. org .. '/' .. c.id)
release(rec, ARGV[5], ARGV[7])
if ARGV[7] == 'timeout' then
  rec.missed = (rec.missed or 0) + 1
  if rec.missed >= 3 then
    intents.cover(rec, 'Unresponsive', 'offers got no answer')
  end
end
settle(rec)
match()
return reply('OK')
