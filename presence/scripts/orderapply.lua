-- orderapply: carry an order out on up to ARGV[4] people of its to-do.
-- KEYS 17 to-do set; 18 set of who has yet to look; 19 results (operator id -> JSON);
--   20 marks
-- ARGV 3 order id; 4 how many (at most 5: it takes about 1 ms); 5 µs in which the partition
--   rests from orders behind this step, 0 not to rest, and not to mind another's rest
-- Returns OK, to-do left, how many have yet to look, ms until the rest of another step is
--   over (0: people were worked on, or there are none) | NOTFOUND
-- Stays true: each operator gets exactly one result; one without work that keeps is
--   out in this step, one with is leaving and gets no new work from this step on, or
--   is out too (mode now) and the work goes back. An order that spares people waits
--   until everybody has looked. A dry run changes nothing but its results. After a
--   failover nobody is worked on before all nodes have asserted what they hold: work
--   that keeps, or that the order was cancelled, may be among it. Of all workers of all
--   orders of a partition one step is done at a time, with a rest behind it: what else
--   is asked of the store passes between, however many nodes work.
local id = ARGV[3]
local f = redis.call('HMGET', ORDER, id, id .. ':phase')
if not f[1] then return reply('NOTFOUND') end
if f[2] == 'cancelled' or f[2] == 'scheduled' then return reply('OK', 0, 0, 0) end
if ARGV[5] ~= '0' then
  local us, rest = clock[1] * 1000000 + clock[2], tonumber(redis.call('HGET', META, 'rest') or '0')
  if us < rest and rest - us < 1000000 then -- more is of a clock that went back
    return reply('OK', redis.call('SCARD', KEYS[17]), redis.call('SCARD', KEYS[18]), math.ceil((rest - us) / 1000))
  end
  redis.call('HSET', META, 'rest', int(us + ARGV[5]))
end
local spec = cjson.decode(f[1])
local people = {}
if NOW >= HOLD and not (spec.hold and redis.call('SCARD', KEYS[18]) > 0) then people = redis.call('SPOP', KEYS[17], ARGV[4]) end
for _, op in ipairs(people) do
  local rec, was = open(op), get(KEYS[19], op)
  local mine = false
  for _, o in ipairs(rec and rec.leaving and rec.leaving.orders or {}) do mine = mine or int(o) == id end
  if rec and not mine and (not was or spec.standing) then
    local link, n = linkOf('o' .. op), tally(rec)
    local here = link and not rec.out
    local previous, outcome = outward(rec, link, n), 'out'
    local waits = busy(n) and spec.mode ~= 'now'
    if waits then outcome = 'leaving' elseif not here and not busy(n) then outcome = 'offline' end
    if spec.dry then -- nothing
    elseif waits then
      leave(rec, tonumber(id), spec.reason, spec.deadline_ms, spec.fence_ms)
      settle(rec)
      tell({'o' .. op}, 'e', leavingFrame(rec, tally(rec)))
    else
      empty(rec)
      signOut(rec, spec.reason, tonumber(id), spec.fence_ms)
      settle(rec)
    end
    if was then redis.call('HINCRBY', ORDER, id .. ':' .. (was.outcome == 'leaving' and 'out' or was.outcome), -1) end
    redis.call('HINCRBY', ORDER, id .. ':' .. outcome, 1)
    local why = string.match(redis.call('HGET', KEYS[20], op) or '', '|(.+)$')
    put(KEYS[19], op, {previous = previous, current = spec.dry and previous or outward(rec, link, tally(rec)), outcome = outcome,
      at = NOW, why = why, chats = n.chat, calls = n.call, dry = spec.dry})
  end
end
local left, awaited = redis.call('SCARD', KEYS[17]), redis.call('SCARD', KEYS[18])
redis.call('HSET', ORDER, id .. ':todo', left)
if left == 0 and awaited == 0 then
  redis.call('HSET', ORDER, id .. ':phase', 'done')
  local late = tonumber(redis.call('HGET', ORDER, id .. ':late') or '0')
  redis.call('ZREM', DUE, 'order/' .. org .. '/' .. id)
  if late > NOW then redis.call('ZADD', DUE, int(late), 'order/' .. org .. '/' .. id) end -- ordermore.lua
  if not spec.standing then
    for k = 17, 20 do redis.call('PEXPIRE', KEYS[k], spec.dry and 3600000 or 2592000000) end -- an hour, 30 days
  end
else
  later(2000, 'order/' .. org .. '/' .. id)
end
if not spec.dry then report(id) end
return reply('OK', left, awaited, 0)
