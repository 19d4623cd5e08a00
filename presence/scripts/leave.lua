-- leave: edges of one incarnation end: its own (the last socket is gone) or
-- those of a dead one, whose crash index is then KEYS[6].
-- ARGV 3 the incarnation whose edges end; 4 grace in ms, 0 for a goodbye; 5.. persons (at most 250)
-- Returns OK, number of edges removed
-- Stays true: a person without an edge is in grace with a deadline, or offline.
local gone, grace, ended = ARGV[3], tonumber(ARGV[4]), 0
local persons, ids, own, known = {}, {}, {}, {}
for k = 5, #ARGV do
  local person = ARGV[k]
  if not known[person] then
    known[person] = true
    persons[#persons + 1], ids[#ids + 1] = person, string.match(person, '^o(%d+)$')
    own[#own + 1] = org .. '/' .. person
  end
end
if not persons[1] then return reply('OK', 0) end
redis.call('SREM', OWN, unpack(own))
-- All is read at once and written at once: a dead node's people are many.
for k, link in ipairs(redis.call('HMGET', LINK, unpack(persons))) do links[persons[k]] = link end
if ids[1] then
  for k, raw in ipairs(redis.call('HMGET', OP, unpack(ids))) do ahead[ids[k]] = raw or nil end
end

local edges, alarms, batch, offs = {}, {}, newBatch(), {}
local deaf = redis.call('EXISTS', DEAF) == 1 -- some may be behind the others because of it (match.lua)
local function edge(person, link)
  links[person] = link
  edges[#edges + 1] = person
  edges[#edges + 1] = link
end
for _, person in ipairs(persons) do
  local kept, had = {}, false
  for i in string.gmatch(linkOf(person) or '', '%d+') do
    if i == gone then had = true else kept[#kept + 1] = i end
  end
  if had then
    ended = ended + 1
    local id = string.match(person, '^o(%d+)$')
    local rec = id and open(id)
    if #kept > 0 then
      edge(person, table.concat(kept, ','))
      if rec and (intents.heeds(rec) or (takes(rec) and deaf)) then settle(rec, batch) end
    elseif grace == 0 or (rec and rec.out) then
      offs[#offs + 1] = person
    else
      edge(person, '-')
      alarms[#alarms + 1] = int(NOW + grace)
      alarms[#alarms + 1] = 'grace/' .. org .. '/' .. person
      -- In grace an operator is here as before, but for new work (barrier).
      if rec and (takes(rec) or intents.heeds(rec)) then settle(rec, batch) end
    end
  end
end
if edges[1] then redis.call('HSET', LINK, unpack(edges)) end
if alarms[1] then redis.call('ZADD', DUE, unpack(alarms)) end
write(batch)
ahead = {}
for _, person in ipairs(offs) do -- their work may be others' too, who are opened anew
  local id = string.match(person, '^o(%d+)$')
  offline(person, id and open(id))
end
return reply('OK', ended)
