-- team: create a team or change its settings.
-- ARGV 3 team id; 4 settings JSON (without group); 5 '1': leave one that is there as it is
-- Returns OK | FULL: 256 teams are the bound of an organization
-- Stays true: each team has its own score band (group) in free and queue.
-- Free scores follow at each operator's next change; resettle() makes it at once.
local new, old = cjson.decode(ARGV[4]), get(TEAM, ARGV[3])
if old and ARGV[5] == '1' then return reply('OK') end
if old then
  new.group, new.turn = old.group, old.turn
elseif ARGV[3] == '0' then
  new.group = 0
else
  new.group = redis.call('HLEN', TEAM) -- 1, 2, 3 ... whether team 0 (band 0) is there yet or not
  if redis.call('HEXISTS', TEAM, '0') == 0 then new.group = new.group + 1 end
  if new.group > 255 then return reply('FULL') end
end
put(TEAM, ARGV[3], new)
redis.call('SADD', KEYS[17], org)
return reply('OK')
