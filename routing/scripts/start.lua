-- start: a visitor starts a chat: create, match or queue, first message, in one step.
-- KEYS 17 log; 18 message ids (both of the new chat's id)
-- ARGV 3 nonce; 4 visitor; 5 new chat id; 6 team id; 7 info JSON; 8 client message
--   id; 9 first message fragment, '' for none
-- Returns OK | OPEN (the visitor's open chat, nothing created), chat JSON, place (0 unless
--   waiting), when its team opens (0 unless it waits for that) | NOTEAM
--   | FORM (refused: nobody answers now), ms until it opens (0: open, or not known)
--   | OUTDATED, team whose hours must be compiled first
-- Stays true: one open chat a visitor; the place in the queue is given here, once.
local visitor, id = ARGV[4], tonumber(ARGV[5])
local has = redis.call('HGET', VIS, visitor)
if has and redis.call('HEXISTS', CHAT, has) == 1 then
  local c = get(CHAT, has)
  return reply('OPEN', cjson.encode(c), c.state == 'waiting' and place(c) or 0, int(opensFor(c) or 0))
end
local tm = team(ARGV[6])
if not tm then return reply('NOTEAM') end
if outdated(tm) then return reply('OUTDATED', tm.open and ARGV[6] or '0') end
local answer, opens = admit(tm)
if answer == 'form' then return reply('FORM', int(opens and opens - NOW or 0)) end
local turn = redis.call('HINCRBY', ORG, 'arrival', 1)
local info = cjson.decode(ARGV[7])
local c = {id = id, visitor = visitor, team = tonumber(ARGV[6]), group = tm.group, since = NOW,
  score = int(tm.group * BAND + turn), info = next(info) and info or nil, held = answer == 'hold' or nil}
enqueue(c)
redis.call('HSET', VIS, visitor, id)
if ARGV[9] ~= '' then
  redis.call('XADD', KEYS[17], '1-' .. GEN, 'at', int(NOW), 'm', ARGV[9])
  redis.call('HSET', KEYS[18], '#', 1, visitor .. '/' .. ARGV[8], '1-' .. GEN .. '-' .. int(NOW))
  tell({visitor}, 'm' .. ARGV[5] .. ':1', '{"t":"message","chat":' .. ARGV[5] .. ',"pos":"1-' .. GEN .. '","seq":1,"at":' .. int(NOW) .. ',' .. ARGV[9])
end
if match() == 0 then castQueue() end
c = get(CHAT, id)
if c.state ~= 'active' then tellVisitor(c) end -- the visitor's other tabs; of an active one match() told
return reply('OK', cjson.encode(c), c.state == 'waiting' and place(c) or 0, int(opensFor(c) or 0))
