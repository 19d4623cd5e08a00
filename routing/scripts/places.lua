-- places: where waiting chats of a team stand, and for how long they may yet wait.
-- ARGV 3 nonce (unused); 4 team id; 5.. chat ids (at most 200)
-- Returns OK, then for each chat: place (0: it does not wait in this team), ms until
--   its turn (-1: unknown)
-- Changes nothing. The estimate is of those who really take work now (free or full)
--   and meet what the chat requires, and of how long chats of the team took of late;
--   with nobody, or without a chat that ended yet, it is unknown (A-18).
local tm = team(ARGV[4])
if not tm then return reply('OK') end
local own, slots, out = {}, {}, {}
for _, g in ipairs(bands(tm)) do own[g] = true end
local took = tonumber(redis.call('HGET', ORG, 'took:' .. ARGV[4]) or '-1')
-- slots of a group: its operators, times what some 16 of them may hold
local function count(g)
  local free, full = {int(g * BAND), '(' .. int(g * BAND + BAND)}, {int(FULL - g * BAND), int(FULL - g * BAND)}
  local there, some, sum = redis.call('ZCOUNT', FREE, free[1], free[2]) + redis.call('ZCOUNT', FREE, full[1], full[2]), 0, 0
  for _, range in ipairs({full, free}) do
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', FREE, range[1], range[2], 'LIMIT', 0, 16 - some)) do
      local rec = get(OP, string.match(member, ':(%d+)$'))
      some, sum = some + 1, sum + (rec and limit(rec) or 0)
    end
  end
  return some > 0 and there * sum / some / units(tm) or 0
end
for k = 5, #ARGV do
  local score = tonumber(redis.call('ZSCORE', QUEUE, ARGV[k]) or '-1')
  local g = math.floor(score / BAND)
  if score < 0 or not own[g] then
    out[#out + 1], out[#out + 2] = 0, -1
  else
    local n, ms = ahead(tm, score - g * BAND), -1
    slots[g] = slots[g] or count(g)
    if slots[g] > 0 and took >= 0 and not shut(tm) then ms = math.floor(n * took / slots[g]) end
    out[#out + 1], out[#out + 2] = n, int(ms)
  end
end
return reply('OK', unpack(out))
