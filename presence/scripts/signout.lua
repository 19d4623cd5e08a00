-- signout: an operator signs out.
-- ARGV 3 operator id; 4 when: 'now' (refused while busy) or 'drain'; 5 reason
-- Returns OK (out) | LEAVING (when the work ends), chats, calls | BUSY, chats, calls | GONE
-- Stays true: nobody is signed out with work (L-2).
local rec = open(ARGV[3])
if not rec then return reply('GONE') end
local n = tally(rec)
if n.chat + n.call == 0 then
  signOut(rec, ARGV[5], 0)
  settle(rec)
  return reply('OK')
end
if ARGV[4] ~= 'drain' then return reply('BUSY', n.chat, n.call) end
if not rec.leaving then
  rec.leaving = {orders = {0}, reason = ARGV[5], at = NOW}
  releaseAll(rec, 'withdrawn')
  settle(rec)
end
return reply('LEAVING', n.chat, n.call)
