-- How a chat ends; stands behind match.lua for close and restore.
-- KEYS 20 log; 21 message ids; 22 typing; 23 viewing; 24 closed record
-- Stays true: the slot is freed and a waiting logout completes in this same step;
--   the caller matches. Who held it last is the visitor's last operator for 30 to
--   60 days: of two hashes one is of the running 30 days and the other goes as a whole.
local function remember(c)
  local period = math.floor(NOW / 2592000000)
  local now, before = KEYS[18 + period % 2], KEYS[19 - period % 2]
  local was = tonumber(redis.call('HGET', ORG, 'period') or '0')
  if was ~= period then
    redis.call('UNLINK', now)
    if was ~= period - 1 then redis.call('UNLINK', before) end
    redis.call('HSET', ORG, 'period', int(period))
  end
  redis.call('HDEL', before, c.visitor)
  redis.call('HSET', now, c.visitor, int(c.op))
end
local function closeChat(c, who, reason, retention)
  local held, queued, cid = {}, c.state == 'waiting', int(c.id)
  if queued then
    redis.call('ZREM', QUEUE, c.id)
  elseif c.state == 'offered' then
    for id in pairs(c.offers) do
      local rec = open(id)
      drop(rec, 'offer:' .. cid)
      tell({'o' .. id}, 'e', {t = 'offer.gone', chat = c.id, reason = who == c.visitor and 'visitor_left' or 'withdrawn'})
      held[#held + 1] = rec
    end
  elseif c.op then
    parts.disband(c, 'closed', who == c.visitor and 'visitor_left' or 'withdrawn')
    held[1] = open(int(c.op))
    if held[1] then finish(held[1], 'chat:' .. cid) end
    remember(c)
    -- How long chats of the team take, the late ones more: for estimates.
    local field, took = 'took:' .. int(c.team), NOW - (c.taken or NOW)
    local was = tonumber(redis.call('HGET', ORG, field) or '-1')
    redis.call('HSET', ORG, field, int(was < 0 and took or was * .8 + took * .2))
  end
  local alarms, of = {}, org .. '/' .. cid
  for k, kind in ipairs({'offer/', 'again/', 'silent/', 'relax/', 'flow/', 'reply/', 'quiet/', 'drop/', 'doze/', 'wake/', 'still/'}) do alarms[k] = kind .. of end
  redis.call('ZREM', DUE, unpack(alarms))
  if c.state ~= 'active' then c.op, c.opname = nil, nil end
  c.state, c.reason, c.closed, c.token, c.offers, c.by, c.rev = 'closed', reason, NOW, nil, nil, who, (c.rev or 0) + 1
  redis.call('HDEL', CHAT, c.id)
  if redis.call('HGET', VIS, c.visitor) == cid then redis.call('HDEL', VIS, c.visitor) end
  local json = cjson.encode(c)
  redis.call('SET', KEYS[24], json, 'PX', retention)
  redis.call('PEXPIRE', KEYS[20], retention)
  redis.call('PEXPIRE', KEYS[21], retention)
  redis.call('DEL', KEYS[22], KEYS[23])
  tellChat(c)
  for _, rec in ipairs(held) do settle(rec) end
  if queued then castQueue() end
  return json
end
