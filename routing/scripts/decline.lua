-- decline: an offer ends without being taken: declined, or the deadline of all
-- offers of a chat rang.
-- ARGV 3 nonce; 4 operator id ('' when ringing); 5 chat id; 6 offer token ('' when
--   ringing); 7 reason: declined | timeout
-- Returns OK, offers that ended | STALE
-- Stays true: the chat keeps its place; these operators are passed over for it
--   while anyone else can be asked, and for the team's pause; silent offers in a
--   row, as many as the team says, take an operator out of routing (S-9).
local c = get(CHAT, ARGV[5])
local alarm = 'offer/' .. org .. '/' .. ARGV[5]
if ARGV[7] == 'timeout' then
  if not rung(alarm) then return reply('STALE') end
  redis.call('ZREM', DUE, alarm)
end
if not c or c.state ~= 'offered' then return reply('STALE') end
if ARGV[7] == 'declined' and c.offers[ARGV[4]] ~= ARGV[6] then return reply('STALE') end
local tm = team(c.team) or {}
local ids = {}
if ARGV[7] == 'declined' then ids[1] = ARGV[4] else for id in pairs(c.offers) do ids[#ids + 1] = id end end
table.sort(ids)
c.declined = c.declined or {}
for _, id in ipairs(ids) do c.declined[id] = NOW + (tm.pause_ms or 10000) end
putChat(c)
later(tm.pause_ms or 10000, 'again/' .. org .. '/' .. ARGV[5])
for _, id in ipairs(ids) do
  local rec = open(id)
  parts.release(rec, ARGV[5], ARGV[7])
  if ARGV[7] == 'timeout' then
    rec.missed = (rec.missed or 0) + 1
    if rec.missed >= (tm.misses or 1) then
      intents.cover(rec, 'Unresponsive', 'offers got no answer')
      rec.missed = nil
      releaseAll(rec, 'withdrawn')
    end
  else
    rec.missed = nil
  end
  settle(rec)
end
match()
return reply('OK', #ids)
