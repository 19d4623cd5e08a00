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
  if rec.fence and rec.fence > NOW then return reply('BARRED', int(rec.fence - NOW)) end
  if minted <= (rec.floor or 0) then return reply('OUT') end
end
local lists = redis.call('HMGET', ORDER, 'open', 'late')
local late = link and lists[2] or '' -- only who was here when the order was given may have been overlooked
-- Who has an edge on another node, or on one that nobody has buried yet, is here for
-- everybody: one edge more changes nothing of an operator, and costs that much less when
-- a node's people come back all at once.
-- (Not of one who may have been put behind the others because their node does not hear.)
local same = rec and rec.g == GEN and link and link ~= '-' and not rec.out and not rec.lost and not intents.heeds(rec) and ARGV[5] ~= '1'
  and not (takes(rec) and redis.call('EXISTS', DEAF) == 1)
if rec and not same then teamsOf(rec) end
local orders, idle = (lists[1] or '') .. ',' .. late, id and team(0) and team(0).idle_ms or 0
local holds = not rec and redis.call('HEXISTS', VIS, person) == 1
local function entered(back)
  if rec then holds = rec.work or rec.leaving end
  return reply('OK', rec and stored[rec.id] or '', back, orders, idle, int(NOW), holds and '1' or '0')
end
if here and not (rec and rec.out) then return entered('0') end

if not here then
  setLink(person, (link and link ~= '-') and (link .. ',' .. inc) or inc)
  redis.call('SADD', OWN, org .. '/' .. person)
end
local over = {'grace/' .. org .. '/' .. person} -- deadlines of one who is back
if not rec then
  if not link and holds then later(0, 'gone/' .. org .. '/' .. person) -- routing looks: the chat may be parked
  else over[2] = 'gone/' .. org .. '/' .. person end
elseif rec.lost then later(0, 'lost/' .. org .. '/' .. id) -- visitors were told that the operator is away: routing looks (lost.lua)
else over[2] = 'lost/' .. org .. '/' .. id end
redis.call('ZREM', DUE, unpack(over))
if rec and not same then
  rec.out, rec.lost = nil, nil
  intents.doze(rec, inc, ARGV[5] == '1')
  settle(rec)
end
return entered(link and '0' or '1')
