-- restore: a node asserts a chat of people it holds, as it last heard of it, after
-- the partition's server has changed and writes may be lost.
-- KEYS 20..24 as in closing.lua
-- ARGV 3 nonce; 4 chat JSON; 5 retention in ms
-- Returns OK, what was done: kept | active | waiting | closed | superseded | taken
-- Stays true: the store's copy stands unless the asserted one has a higher
--   revision; what was accepted earlier keeps the chat, whoever has it instead is
--   told; a chat that was closed stays closed; one open chat a visitor. No chat is
--   matched here: the hold of adopt.lua ends after everybody has asserted.
local old = cjson.decode(ARGV[4])
old.place, old.left, old.waited, old.token, old.declined, old.offers = nil, nil, nil, nil, nil, nil
old.last, old.lastuntil, old.invites, old.lost, old.warned = nil, nil, nil, nil, nil
old.dozes, old.back, old.still = nil, nil, nil
-- reassert gives those who take part in a chat the work of it again; whoever is not
-- here yet is asserted by their own nodes, or goes (stay.lua).
local function reassert(chat)
  for id, w in pairs(chat.with or {}) do
    local rec, item = open(id), parts.WORK[w.r] .. int(chat.id)
    if rec and not rec.out and rec.account ~= 2 and not (rec.work or {})[item] then
      hold(rec, item, 0)
      settle(rec)
    end
    if not rec or rec.out or not linkOf('o' .. id) then
      redis.call('ZADD', DUE, 'NX', int(NOW + 30000), 'part/' .. org .. '/' .. int(chat.id) .. '/' .. id)
    end
  end
end
local cid = int(old.id)
local c = get(CHAT, cid)
if c and c.visitor ~= old.visitor then return reply('OK', 'taken') end
if not c and redis.call('EXISTS', KEYS[24]) == 1 then return reply('OK', 'kept') end
if c and (c.rev or 0) >= (old.rev or 0) then
  if c.state == 'active' then reassert(c) end
  return reply('OK', 'kept')
end
if old.state == 'closed' then
  if c then
    c.rev = old.rev
    closeChat(c, old.by, old.reason, ARGV[5])
  else
    redis.call('SET', KEYS[24], ARGV[4], 'PX', ARGV[5])
  end
  return reply('OK', 'closed')
end
local other = redis.call('HGET', VIS, old.visitor)
if other and other ~= cid and redis.call('HEXISTS', CHAT, other) == 1 then
  old.state, old.reason, old.closed, old.by = 'closed', 'superseded', NOW, ''
  redis.call('SET', KEYS[24], cjson.encode(old), 'PX', ARGV[5])
  if old.op then tellOperator(old) end
  return reply('OK', 'superseded')
end
if c and c.state == 'offered' then
  for id in pairs(c.offers) do
    local rec = open(id)
    parts.release(rec, cid, 'superseded')
    settle(rec)
  end
elseif c and c.state == 'active' and c.op ~= old.op then
  local rec = open(int(c.op))
  drop(rec, 'chat:' .. cid)
  settle(rec)
  tell({'o' .. rec.id}, 'e', {t = 'chat', chat = c.id, state = 'closed', reason = 'superseded'})
end
-- A part that is asserted too goes on: without it one whose logout waits would be out.
for id, w in pairs(c and c.with or {}) do
  if old.with and old.with[id] and old.with[id].r == w.r then c.with[id] = nil end
end
if c then parts.disband(c, 'superseded') end
redis.call('HSET', VIS, old.visitor, cid)
local rec = old.state == 'active' and old.op and open(int(old.op))
if rec and rec.account ~= 2 then
  redis.call('ZREM', QUEUE, cid)
  for _, kind in ipairs({'relax/', 'flow/'}) do redis.call('ZREM', DUE, kind .. org .. '/' .. cid) end
  hold(rec, 'chat:' .. cid, units(team(old.team) or {}))
  local held, most = tally(rec).units, limit(rec)
  old.back = held > most and not old.over and 1 or nil -- it may have been silent, without units
  putChat(old)
  if old.back then
    redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'over the limit', 'who', int(rec.id), 'chat', cid,
      'units', held, 'limit', most, 'why', 'asserted after a failover')
  end
  arm(old, team(old.team) or {})
  -- Whether they have answered is lost with the log: nothing is taken away for that.
  if redis.call('EXISTS', KEYS[20]) == 0 then redis.call('ZREM', DUE, 'reply/' .. org .. '/' .. cid) end
  settle(rec)
  reassert(old)
else
  if c and c.state == 'active' then -- back from whom it was taken
    local had = open(int(c.op))
    drop(had, 'chat:' .. cid)
    settle(had)
  end
  -- Its operator's node may be yet to say that the operator exists, and then
  -- asserts this chat too: its word must count for more.
  old.rev = (old.rev or 0) - 2
  enqueue(old)
end
-- Chats whose people are gone must not stand for ever: the ordinary deadlines say.
if not linkOf(old.visitor) then later(0, 'gone/' .. org .. '/' .. old.visitor) end
if rec and not linkOf('o' .. rec.id) then later(30000, 'lost/' .. org .. '/' .. rec.id) end
tellChat(old)
return reply('OK', old.state)
