-- lost: an operator is offline and left chats behind; they go back to their old
-- places with their waiting time kept.
-- ARGV 3 nonce; 4 operator id
-- Returns OK, chats returned
-- Stays true: an operator who came back in time keeps the chats; calls are ended by
--   their own leases.
local alarm = 'lost/' .. org .. '/' .. ARGV[4]
if not rung(alarm) then return reply('OK', 0) end
local rec = open(ARGV[4])
if rec and (rec.account == 2 or not linkOf('o' .. ARGV[4])) then
  local returned = 0
  for item in pairs(rec.work or {}) do
    local cid = string.match(item, '^chat:(.+)')
    local c = cid and get(CHAT, cid)
    if cid then drop(rec, item) end
    if c and c.state == 'active' and c.op == rec.id then
      enqueue(c)
      returned = returned + 1
      tellVisitor(c)
    end
  end
  redis.call('ZREM', DUE, alarm)
  settle(rec)
  if match() == 0 and returned > 0 then castQueue() end
  return reply('OK', returned)
end
redis.call('ZREM', DUE, alarm)
return reply('OK', 0)
