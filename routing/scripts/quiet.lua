-- quiet: nobody may have written in a chat for as long as its team allows: the
-- visitor is warned once, and when nobody writes then either it is closed.
-- KEYS 20..24 as in closing.lua
-- ARGV 3 nonce; 4 chat id; 5 retention in ms; 6 words of the warning where the team has none
-- Returns OK, what was done: '' | warned | closed chat JSON
-- Stays true: what a party wrote puts the end off and takes the warning back.
local alarm = 'quiet/' .. org .. '/' .. ARGV[4]
if not rung(alarm) then return reply('OK', '') end
redis.call('ZREM', DUE, alarm)
local c = get(CHAT, ARGV[4])
local tm = c and c.state == 'active' and team(c.team)
if not tm or not tm.quiet_ms then return reply('OK', '') end
local last = math.max(c.taken, wrote('[ov]', c.taken) or 0)
if c.warned and last <= c.warned then
  local ends = c.warned + (tm.quiet_close_ms or 60000)
  if NOW >= ends then
    local json = closeChat(c, '', 'inactive', ARGV[5])
    match()
    return reply('OK', json)
  end
  redis.call('ZADD', DUE, int(ends), alarm)
  return reply('OK', '')
end
local due = last + tm.quiet_ms
if NOW >= due then
  say(c, tm.quiet_text or ARGV[6])
  c.warned, due = NOW, NOW + (tm.quiet_close_ms or 60000)
elseif not c.warned then
  redis.call('ZADD', DUE, int(due), alarm)
  return reply('OK', '')
else
  c.warned = nil
end
putChat(c)
redis.call('ZADD', DUE, int(due), alarm)
return reply('OK', c.warned and 'warned' or '')
