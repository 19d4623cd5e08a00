-- How a chat ends; stands behind match.lua for close and restore.
-- KEYS 17 log; 18 message ids; 19 typing; 20 viewing; 21 closed record
-- Stays true: the slot is freed and a waiting logout completes in this same step;
--   the caller matches.
local function closeChat(c, who, reason, retention)
  local rec = c.op and open(int(c.op))
  if c.state == 'waiting' then
    redis.call('ZREM', QUEUE, c.id)
  elseif c.state == 'offered' then
    drop(rec, 'offer:' .. c.id)
    tell({'o' .. rec.id}, 'e', {t = 'offer.gone', chat = c.id, reason = who == c.visitor and 'visitor_left' or 'withdrawn'})
  elseif rec then
    finish(rec, 'chat:' .. c.id)
  end
  for _, kind in ipairs({'offer/', 'again/', 'silent/'}) do redis.call('ZREM', DUE, kind .. org .. '/' .. c.id) end
  local queued = c.state == 'waiting'
  if c.state ~= 'active' then c.op, c.opname = nil, nil end
  c.state, c.reason, c.closed, c.token, c.by, c.rev = 'closed', reason, NOW, nil, who, (c.rev or 0) + 1
  redis.call('HDEL', CHAT, c.id)
  if redis.call('HGET', VIS, c.visitor) == int(c.id) then redis.call('HDEL', VIS, c.visitor) end
  local json = cjson.encode(c)
  redis.call('SET', KEYS[21], json, 'PX', retention)
  redis.call('PEXPIRE', KEYS[17], retention)
  redis.call('PEXPIRE', KEYS[18], retention)
  redis.call('DEL', KEYS[19], KEYS[20])
  tellChat(c)
  if rec then settle(rec) end
  if queued then castQueue() end
  return json
end
