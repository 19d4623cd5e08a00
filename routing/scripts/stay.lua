-- stay: an invite ends without being accepted: the chat stays whose it is.
-- ARGV 3 nonce; 4 operator who was asked; 5 chat id; 6 token ('' when ringing);
--   7 reason: declined | timeout
-- Returns OK, what was asked: transfer | consult | join, '' for nothing | STALE
-- Stays true: units that were kept for it are free in this step. A hand-over that gets
--   no answer counts as a silent offer (S-9); being asked for advice does not.
local rec, c = open(ARGV[4]), get(CHAT, ARGV[5])
local alarm = 'part/' .. org .. '/' .. ARGV[5] .. '/' .. ARGV[4]
if ARGV[7] == 'timeout' then
  if not rung(alarm) then return reply('STALE') end
  redis.call('ZREM', DUE, alarm)
end
local v, w = c and c.invites and c.invites[ARGV[4]], c and c.with and c.with[ARGV[4]]
if w and not v and ARGV[7] == 'timeout' then -- asserted after a failover, and not seen since (restore.lua)
  if not rec then
    c.with[ARGV[4]] = nil
    if not next(c.with) then c.with = nil end
    putChat(c)
    parts.changed(c, w.r)
  elseif rec.out or not linkOf('o' .. ARGV[4]) then
    parts.out(rec, ARGV[5], 'connection_lost')
    settle(rec)
  end
  return reply('OK', '')
end
if not v or not rec or (ARGV[7] == 'declined' and v.tok ~= ARGV[6]) then return reply('STALE') end
parts.uninvite(rec, ARGV[5], ARGV[7])
if ARGV[7] == 'timeout' and v.k == 'transfer' then
  rec.missed = (rec.missed or 0) + 1
  if rec.missed >= ((team(c.team) or {}).misses or 1) then
    intents.cover(rec, 'Unresponsive', 'offers got no answer')
    rec.missed = nil
    releaseAll(rec, 'withdrawn')
  end
elseif v.k == 'transfer' then
  rec.missed = nil
end
settle(rec)
match()
return reply('OK', v.k)
