-- queue: the chats that wait in a team, next first.
-- ARGV 3 nonce (unused); 4 team id; 5 how many (at most 200)
-- Returns OK, then chat JSONs with place and waited | NOTEAM
-- Changes nothing.
local tm = team(ARGV[4])
if not tm then return reply('NOTEAM') end
local all, out = {}, {}
for _, g in ipairs(bands(tm)) do
  local page = redis.call('ZRANGEBYSCORE', QUEUE, int(g * BAND), '(' .. int((g + 1) * BAND), 'WITHSCORES', 'LIMIT', 0, ARGV[5])
  for k = 1, #page, 2 do all[#all + 1] = {page[k], tonumber(page[k + 1]) - g * BAND} end
end
table.sort(all, function(a, b) return a[2] < b[2] end)
for k = 1, math.min(#all, tonumber(ARGV[5])) do
  local c = get(CHAT, all[k][1])
  if c then
    c.place, c.waited = k, NOW - c.since
    out[#out + 1] = cjson.encode(c)
  end
end
return reply('OK', unpack(out))
