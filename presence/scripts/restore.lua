-- restore: a node asserts operators it holds, or lately held, as it last heard of
-- them, after the partition's server has changed and writes may be lost.
-- ARGV 3 'missing': only those whose record is gone | 'merge': all; 4.. record JSONs (at most 50)
-- Returns OK, operators changed
-- Stays true: floors never go back, so no token that was refused is taken again;
--   a leaving mark and a call (with a fresh lease) are never lost; a record that
--   nobody has written since the change is replaced by a later one. Chats are
--   asserted by routing between the two rounds: a leaving operator must not be
--   taken for idle before.
local changed = 0
-- leg returns the deadline of a call, or of a piece of outside work; nil of all else.
local function leg(item, op)
  local kind, rest = string.match(item, '^(%a+):(.+)$')
  local alarm = ({call = 'call/', other = 'task/'})[kind]
  return alarm and alarm .. org .. '/' .. (op or '') .. '/' .. rest
end
for k = 4, #ARGV do
  local old = cjson.decode(ARGV[k])
  local id = int(old.id)
  local rec, calls = open(id), {}
  for item in pairs(old.work or {}) do
    if leg(item) then calls[item] = old.work[item] end
  end
  local leaving, pend, was = old.leaving, old.pend, rec and {rev = rec.rev or 0, g = rec.g, floor = rec.floor or 0}
  if not rec then
    rec, old.leaving, old.work, old.pend = old, nil, nil, nil -- what waits for work: in the second round
  elseif ARGV[3] == 'missing' then
    rec = nil
  elseif was.g ~= GEN and (old.rev or 0) > was.rev then
    old.work, old.leaving = rec.work, nil
    for item in pairs(old.work or {}) do -- calls that ended in what was lost
      if leg(item) and not calls[item] then
        drop(old, item)
        redis.call('ZREM', DUE, leg(item, id))
      end
    end
    rec = old
  elseif was.g == GEN then
    if (old.version or 0) > (rec.version or 0) then intents.adopt(rec, old)
    elseif old.version == rec.version then rec.pend = rec.pend or pend end
  else
    rec = nil -- the store has this one, or a later one
  end
  if rec then
    changed = changed + 1
    rec.floor = math.max(rec.floor or 0, old.floor or 0)
    if rec.floor == 0 then rec.floor = nil end
    if (old.fence or 0) > (rec.fence or 0) then rec.fence, rec.fencer = old.fence, old.fencer end
    for item in pairs(calls) do
      hold(rec, item, calls[item])
      redis.call('ZADD', DUE, 'NX', int(NOW + 90000), leg(item, id))
    end
    intents.rearm(rec)
    if rec.wrap then redis.call('ZADD', DUE, 'NX', int(rec.wrap), 'wrap/' .. org .. '/' .. id) end
    if was and was.g == GEN and old.out and (old.floor or 0) > was.floor and not rec.out then
      signOut(rec, 'signed out')
    elseif leaving and not rec.leaving and not rec.out and ARGV[3] == 'merge' then
      rec.leaving = leaving
      for _, at in pairs(leaving.cuts or {}) do redis.call('ZADD', DUE, 'LT', int(at), 'cut/' .. org .. '/' .. id) end
      releaseAll(rec, 'withdrawn')
    end
    settle(rec)
    if rec.work and not linkOf('o' .. id) then later(30000, 'lost/' .. org .. '/' .. id) end
  end
end
return reply('OK', changed)
