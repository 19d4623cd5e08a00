-- leave: edges of one incarnation end: its own (the last socket is gone) or
-- those of a dead one, whose crash index is then KEYS[6].
-- ARGV 3 the incarnation whose edges end; 4 grace in ms, 0 for a goodbye; 5.. persons (at most 250)
-- Returns OK, number of edges removed
-- Stays true: a person without an edge is in grace with a deadline, or offline.
local gone, grace, ended = ARGV[3], tonumber(ARGV[4]), 0
for k = 5, #ARGV do
  local person = ARGV[k]
  local link = linkOf(person)
  local id = string.match(person, '^o(%d+)$')
  local rec = id and open(id)
  redis.call('SREM', OWN, org .. '/' .. person)
  local kept, had = {}, false
  for i in string.gmatch(link or '', '%d+') do
    if i == gone then had = true else kept[#kept + 1] = i end
  end
  if had then
    ended = ended + 1
    if #kept > 0 then
      setLink(person, table.concat(kept, ','))
      if rec then settle(rec) end
    elseif grace == 0 or (rec and rec.out) then
      offline(person, rec)
    else
      setLink(person, '-')
      later(grace, 'grace/' .. org .. '/' .. person)
      if rec then settle(rec) end
    end
  end
end
return reply('OK', ended)
