-- enter: an incarnation holds its first socket of a person.
-- ARGV 3 person; 4 minted: Redis ms of the person's token (0 for a visitor); 5 '1'
--   when all connections here are idle; 6 '1' when the person comes, '0' when a
--   node asserts whom it holds
-- Returns OK, record JSON ('' for a visitor), back ('1' when the person was
--   offline before), ids of network orders to be checked against ('a,b'; commas
--   may stand alone), ms after which who
--   does nothing is idle (0: never), now, '1' when the person holds something that
--   a snapshot must show ('0': there is none to ask for)
--   | OUT: the token is older than a logout | BARRED, ms: an order refuses a new
--   sign-in for so long | GONE: no such operator, or deleted
--   | HOLD: a logout of this operator, or the record, may be lost and is being
--   asserted (adopt.lua)
-- Stays true: an edge stands in link and in the incarnation's own, or in neither;
--   repeating it writes nothing.
local person, minted = ARGV[3], tonumber(ARGV[4])
local id = string.match(person, '^o(%d+)$')
local link = linkOf(person)
local here = link and string.find(',' .. link .. ',', ',' .. inc .. ',', 1, true)
local rec
if id then
  if ARGV[6] == '1' and HOLD > NOW then return reply('HOLD') end
  rec = open(id)
  if not rec and HOLD > NOW then return reply('HOLD') end
  if not rec or rec.account == 2 then return reply('GONE') end
  local floor = math.max(rec.floor or 0, tonumber(redis.call('HGET', ORG, 'floor') or '0'))
  if rec.fence and rec.fence > NOW then return reply('BARRED', int(rec.fence - NOW)) end
  if minted <= floor then return reply('OUT') end
end
local lists = redis.call('HMGET', ORDER, 'open', 'late')
local late = link and lists[2] or '' -- only who was here when the order was given may have been overlooked
local orders, idle = (lists[1] or '') .. ',' .. late, id and team(0) and team(0).idle_ms or 0
local function holds()
  if rec then return (rec.work or rec.leaving) and '1' or '0' end
  return redis.call('HEXISTS', VIS, person) == 1 and '1' or '0'
end
if here and not (rec and rec.out) then return reply('OK', rec and cjson.encode(rec) or '', '0', orders, idle, int(NOW), holds()) end

if not here then
  setLink(person, (link and link ~= '-') and (link .. ',' .. inc) or inc)
  redis.call('SADD', OWN, org .. '/' .. person)
end
redis.call('ZREM', DUE, 'grace/' .. org .. '/' .. person)
if rec then
  -- Visitors were told that the operator is away: routing looks (lost.lua).
  if rec.lost then later(0, 'lost/' .. org .. '/' .. id) else redis.call('ZREM', DUE, 'lost/' .. org .. '/' .. id) end
  rec.out, rec.lost = nil, nil
  intents.doze(rec, inc, ARGV[5] == '1')
  settle(rec)
elseif not link and redis.call('HEXISTS', VIS, person) == 1 then
  later(0, 'gone/' .. org .. '/' .. person) -- routing looks: the chat may be parked
else
  redis.call('ZREM', DUE, 'gone/' .. org .. '/' .. person)
end
return reply('OK', rec and cjson.encode(rec) or '', link and '0' or '1', orders, idle, int(NOW), holds())
