-- signout: an operator signs out, or takes the wish back.
-- ARGV 3 operator id; 4 when: 'now' (refused while busy), 'drain', 'handover' (chats
--   go back to the head of their queues; refused during a call) or 'stay'; 5 reason
-- Returns OK (out, or stays) | LEAVING (when the work ends), chats, calls
--   | BUSY, chats, calls | GONE
-- Stays true: nobody is signed out with work (L-2); 'stay' takes back the operator's
--   own wish, never an order.
local rec = open(ARGV[3])
if not rec then return reply('GONE') end
local n = tally(rec)
if ARGV[4] == 'stay' then
  stay(rec, 0)
  settle(rec)
  if rec.leaving then return reply('LEAVING', chats(n), n.call) end
  return reply('OK')
end
if not busy(n) or (ARGV[4] == 'handover' and n.call == 0) then
  empty(rec)
  signOut(rec, ARGV[5], 0)
  settle(rec)
  return reply('OK')
end
if ARGV[4] ~= 'drain' then return reply('BUSY', chats(n), n.call) end
local mine = false
for _, id in ipairs(rec.leaving and rec.leaving.orders or {}) do mine = mine or id == 0 end
if not mine then
  leave(rec, 0, ARGV[5])
  settle(rec)
end
return reply('LEAVING', chats(n), n.call)
