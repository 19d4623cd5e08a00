-- orderapply: carry an order out on up to ARGV[4] people of its to-do.
-- KEYS 17 to-do set; 18 awaited set; 19 result hash (operator id -> JSON)
-- ARGV 3 order id; 4 how many (at most 100)
-- Returns OK, to-do left, awaited left
-- Stays true: each operator gets exactly one result; one without chat or call is
--   out in this step, one with is leaving and gets no new work from this step on.
local id = ARGV[3]
local raw = redis.call('HGET', ORDER, id)
if not raw then return reply('NOTFOUND') end
local reason = cjson.decode(raw).reason
for _, op in ipairs(redis.call('SPOP', KEYS[17], ARGV[4])) do
  local rec = open(op)
  if rec and redis.call('HEXISTS', KEYS[19], op) == 0 then
    local link, n = redis.call('HGET', LINK, 'o' .. op), tally(rec)
    local previous, outcome = outward(rec, link, n), 'out'
    if n.chat + n.call > 0 then
      outcome = 'leaving'
      releaseAll(rec, 'withdrawn')
      rec.leaving = rec.leaving or {orders = {}, reason = reason, at = NOW}
      table.insert(rec.leaving.orders, tonumber(id))
      settle(rec)
      n = tally(rec)
      tell({'o' .. op}, 'e', {t = 'leaving', order = tonumber(id), reason = reason, chats = n.chat, calls = n.call})
    else
      if not link or rec.out then outcome = 'offline' end
      signOut(rec, reason, tonumber(id))
      settle(rec)
    end
    redis.call('HINCRBY', ORDER, id .. ':' .. outcome, 1)
    put(KEYS[19], op, {previous = previous, current = outward(rec, link, n), outcome = outcome, at = NOW})
  end
end
local left, awaited = redis.call('SCARD', KEYS[17]), redis.call('SCARD', KEYS[18])
if left == 0 and awaited == 0 then
  redis.call('ZREM', DUE, 'order/' .. org .. '/' .. id)
  for k = 17, 19 do redis.call('PEXPIRE', KEYS[k], 2592000000) end -- 30 days
else
  later(2000, 'order/' .. org .. '/' .. id)
end
return reply('OK', left, awaited)
