-- lost: an operator is gone for longer than the grace and left chats behind, or is
-- back, or the time for which chats are held is over. Each team says what becomes of
-- its chats (A-8): they go back to their old places with their waiting time kept, stay
-- for a time, go to another team, or are closed (drop.lua, which has their logs).
-- ARGV 3 nonce; 4 operator id
-- Returns OK, chats that left the operator
-- Stays true: an operator who came back in time keeps the chats; whoever is signed
--   out, leaving or no longer active holds none; while a chat is held a deadline stands;
--   supervisors hear once who was lost with which chats. Calls are ended by their own leases.
local alarm = 'lost/' .. org .. '/' .. ARGV[4]
if not rung(alarm) then return reply('OK', 0) end
redis.call('ZREM', DUE, alarm)
local rec = open(ARGV[4])
if not rec then return reply('OK', 0) end
local chats = {}
for item in pairs(rec.work or {}) do
  local cid = string.match(item, '^chat:(.+)')
  local c = cid and get(CHAT, cid)
  if c and c.state == 'active' and c.op == rec.id then chats[#chats + 1] = c
  elseif cid then drop(rec, item) end
end
table.sort(chats, function(a, b) return a.id < b.id end)
if rec.account ~= 2 and linkOf('o' .. ARGV[4]) then
  for _, c in ipairs(chats) do
    if c.lost then
      c.lost = nil
      putChat(c)
      tellVisitor(c)
    end
  end
  settle(rec)
  return reply('OK', 0)
end
local stays = rec.account == 0 and not rec.out and not rec.leaving
local moved, told, till = 0, {}, nil
rec.lost = rec.lost or NOW
for _, c in ipairs(chats) do
  local tm, was = team(c.team) or {}, c.team
  local policy, ends = tm.loss or 'return', rec.lost + (tm.loss_hold_ms or 60000)
  if policy == 'hold' and not (stays and NOW < ends) then policy = 'return' end
  if policy == 'hold' then
    till = math.min(till or ends, ends)
  elseif policy == 'close' then
    later(0, 'drop/' .. org .. '/' .. int(c.id))
  else
    drop(rec, 'chat:' .. int(c.id))
    requeue(c, policy == 'forward' and tm.loss_team or nil)
    moved = moved + 1
    tellVisitor(c)
  end
  if policy == 'hold' or policy == 'close' then
    if c.lost then policy = nil -- told before
    else
      c.lost = 1
      putChat(c)
      tellVisitor(c)
    end
  end
  if policy then told[#told + 1] = {chat = c.id, team = was, ['then'] = policy, to = c.team ~= was and c.team or nil} end
end
if till then redis.call('ZADD', DUE, int(till), alarm) end
if moved == #chats then rec.lost = nil end
if #told > 0 then
  local json = cjson.encode({t = 'lost', operator = {id = rec.id, name = rec.name}, at = NOW, chats = told})
  cast('losses', json)
  redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'operator lost', 'who', int(rec.id), 'chats', json)
end
settle(rec)
if match() == 0 and moved > 0 then castQueue() end
return reply('OK', moved)
