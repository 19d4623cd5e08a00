-- whynot: every fact that keeps an operator from chats now (A-10). The facts are
-- barrier()'s own: each is taken away in turn until it names none.
-- ARGV 3 nonce (unused); 4 operator id
-- Returns OK, record JSON, facts 'a,b' ('': none), '1' when here, units held, limit, now,
--   then for each team of theirs: id, units of one chat, '1' when free for it
--   | NOTFOUND
-- Changes nothing.
local rec = open(ARGV[4])
if not rec or rec.account == 2 then return reply('NOTFOUND') end
local json, link, n = cjson.encode(rec), linkOf('o' .. ARGV[4]), tally(rec)
local here, held, most, facts, out = link and '1' or '0', n.units, limit(rec), {}, {}
local deafness = link and link ~= '-' and not rec.out and not hears(ARGV[4])
for _, t in ipairs({0, unpack(rec.teams or {})}) do
  local tm = team(t)
  if tm then
    local score = redis.call('ZSCORE', FREE, int(tm.group) .. ':' .. rec.id)
    for _, v in ipairs({int(t), int(units(tm)), score and tonumber(score) >= 0 and '1' or '0'}) do out[#out + 1] = v end
  end
end
local away = {
  account = function() rec.account = 0 end, offline = function() rec.out, link = nil, link or '-' end, unreachable = function() link = '0' end,
  leaving = function() rec.leaving = nil end, status = function() rec.intent = 'Available' end, wrap_up = function() rec.wrap = nil end,
  call = function() n.call = 0 end,
}
local why = barrier(rec, link, n)
while why and #facts < 16 do
  if not (why == 'unreachable' and facts[#facts] == 'offline') then facts[#facts + 1] = why end
  away[why]()
  why = barrier(rec, link, n)
end
if held + units({}) > most then facts[#facts + 1] = 'full' end
if deafness then facts[#facts + 1] = 'deaf' end
return reply('OK', json, table.concat(facts, ','), here, int(held), int(most), int(NOW), unpack(out))
