-- doors: what a chat that was started now would meet, for each team.
-- ARGV 3 nonce (unused); 4.. team ids (at most 257)
-- Returns OK, now, then for each: serve | hold | form | '' (no such team), and when it
--   opens (Redis ms; 0: open, or not known) | OUTDATED, team whose hours must be compiled first
-- Changes nothing. The same admit() decides in start.lua.
local out = {}
for k = 4, #ARGV do
  local tm = team(ARGV[k])
  local answer, opens = '', 0
  if tm and outdated(tm) then return reply('OUTDATED', tm.open and ARGV[k] or '0') end
  if tm then answer, opens = admit(tm) end
  out[#out + 1] = answer
  out[#out + 1] = int(opens or 0)
end
return reply('OK', int(NOW), unpack(out))
