-- hours: a team opens or closes, or its settings changed; also the answer to its deadline.
-- ARGV 3 nonce; 4 team; 5 rules that were compiled ('' none); 6 when it is open; 7 until
--   when that is known; 8 ms after which to compile anew at the latest
-- Returns OK, '1' when the team is open | STALE: the rules are others by now, read again
-- Stays true: while a team has rules its deadline stands, at the next opening or
--   closing or before what is known ends; an opening serves the queue in its own step (A-2).
local id, alarm = ARGV[4], 'hours/' .. org .. '/' .. ARGV[4]
if (redis.call('HGET', ORG, 'hours:' .. id) or '') ~= ARGV[5] then return reply('STALE') end
local tm = team(id)
if not tm or ARGV[5] == '' then
  redis.call('ZREM', DUE, alarm)
  if not tm then return reply('OK', '1') end
else
  tm.open, tm.known = ARGV[6], tonumber(ARGV[7])
  put(TEAM, id, tm)
  local next_ = NOW + ARGV[8]
  for at in string.gmatch(tm.open, '%d+') do
    if tonumber(at) > NOW then next_ = math.min(next_, tonumber(at)) end
  end
  redis.call('ZADD', DUE, int(next_), alarm)
end
if redis.call('EXISTS', QUEUE) == 1 then
  match()
  -- Who was told when it opens, and still waits, hears what holds now.
  local waiting, left = {}, 250
  for _, g in ipairs(id == '0' and {-1} or bands(tm)) do
    local page = redis.call('ZRANGEBYSCORE', QUEUE, g < 0 and '-inf' or int(g * BAND), g < 0 and '+inf' or '(' .. int((g + 1) * BAND), 'LIMIT', 0, left)
    for _, cid in ipairs(page) do waiting[#waiting + 1] = cid end
    left = left - #page
  end
  for _, cid in ipairs(waiting) do
    local c = get(CHAT, cid)
    if c and c.held then
      local own = team(c.team)
      if own and not held(c, own) then
        c.held = nil
        putChat(c)
      end
      tellVisitor(c)
    end
  end
end
return reply('OK', shut(tm) and '0' or '1')
