-- snapshot: the chats and offers a person holds now.
-- ARGV 3 nonce (unused); 4 person
-- Returns OK, own view JSON ('' for a visitor), leaving JSON ('' unless leaving), now, then
--   pairs: chat JSON, '1' when its visitor is connected
-- Changes nothing.
-- Stays true: only work that names a chat is looked up; calls and outside work carry
--   ids of other systems, which may look like a chat's.
local NAMES = {chat = 1, offer = 1, invite = 1, join = 1, consult = 1, unseen = 1}
local person, out = ARGV[4], {}
local id = string.match(person, '^o(%d+)$')
local ids, own, leaving = {}, '', ''
if id then
  local rec = open(id)
  if not rec then return reply('GONE') end
  local n = tally(rec)
  own = cjson.encode(view(rec, linkOf(person), n))
  if rec.leaving then
    leaving = cjson.encode(leavingFrame(rec, n))
  end
  local told = {} -- who takes part may be asked for more: two works, one chat
  for item in pairs(rec.work or {}) do
    local kind, cid = string.match(item, '^(%a+):(.+)')
    if NAMES[kind] and not told[cid] then ids[#ids + 1], told[cid] = cid, true end
  end
else
  ids[1] = redis.call('HGET', VIS, person) or nil
end
for _, cid in ipairs(ids) do
  local c = get(CHAT, cid)
  if c then
    if c.state == 'offered' then
      local at = redis.call('ZSCORE', DUE, 'offer/' .. org .. '/' .. cid)
      if id then c.op, c.token = tonumber(id), c.offers[id] end
      c.left = math.max(0, tonumber(at or NOW) - NOW)
      c.waited = NOW - c.since
    end
    if id and c.invites and c.invites[id] then
      c.left = math.max(0, tonumber(redis.call('ZSCORE', DUE, 'part/' .. org .. '/' .. cid .. '/' .. id) or NOW) - NOW)
      c.waited = NOW - c.since
    end
    if c.state == 'waiting' then c.place, c.opens = place(c), opensFor(c) end
    local link = linkOf(c.visitor)
    out[#out + 1] = cjson.encode(c)
    out[#out + 1] = (link and link ~= '-') and '1' or '0'
  end
end
return reply('OK', own, leaving, int(NOW), unpack(out))
