-- status: somebody chooses an operator's intent (the rules: intent.lua).
-- ARGV 3 operator id; 4 status (checked by the caller against the organization's
--   list); 5 version the writer last saw, 0 for "do not compare"; 6 source:
--   operator | supervisor; 7 when: now | after_work (at once without work) |
--   cancel what is pending | return from a temporary or automatic status;
--   8 ms for which it holds, 0 for ever; 9 who; 10 reason; 11 minted: Redis ms of
--   the operator's own token, 0 for another's
-- Returns OK, record JSON | STALE, record JSON | LOCKED, ms left | DEEP (8 temporary
--   statuses within each other) | OUT (the token is older than a logout) | GONE
-- Stays true: of two writers with the same version one is refused, and what was
--   written before a logout never applies after it (S-3); the newest choice wins (S-1).
local rec = open(ARGV[3])
if not rec or rec.account == 2 then return reply('GONE') end
local minted = tonumber(ARGV[11])
if minted > 0 and minted <= (rec.floor or 0) then return reply('OUT') end
local version, when = tonumber(ARGV[5]), ARGV[7]
if version > 0 and version ~= rec.version then return reply('STALE', stored[rec.id]) end
local c, n = {i = ARGV[4], s = ARGV[6], b = ARGV[9], w = ARGV[10], ms = tonumber(ARGV[8])}, tally(rec)
local status, left = 'OK', nil
if when == 'cancel' then
  if not rec.pend then return reply('OK', stored[rec.id]) end
  intents.note(rec, c.s, c.b, c.w, intents.forget(rec, c.b))
  rec.version = rec.version + 1
elseif when == 'return' then
  if not rec.back then return reply('OK', stored[rec.id]) end
  status, left = intents.leave(rec, c)
elseif when == 'after_work' and busy(n) then
  status, left = intents.later(rec, c)
else
  status, left = intents.choose(rec, c)
  if status == 'OK' and when == 'now' and rec.wrap and takes(rec) then -- "I am ready" ends wrap-up
    rec.wrap = nil
    redis.call('ZREM', DUE, 'wrap/' .. org .. '/' .. rec.id)
  end
end
if status == 'LOCKED' then return reply('LOCKED', int(left - NOW)) end
if status ~= 'OK' then return reply(status) end
settle(rec)
return reply('OK', stored[rec.id])
