-- team: create teams or change their settings, all of them or none.
-- KEYS 17 organizations of the partition
-- ARGV 3 '1': leave a team that is there as it is; 4 who; then seven for each team:
--   id, settings JSON, hours JSON ('' none), when it is open ('-' always), until when
--   that is known, version the writer has seen (0: new, -1: any), settings as audited
-- Returns OK, mark of the change, version of each | STALE, team, its version
--   | NOTFOUND, team | FULL: 256 teams are the bound of an organization
-- Stays true: each team has its own score band (group, 0 to 255) in free and queue,
--   and keeps it and its groups of skills, whatever is set; of two
--   writers who saw the same version one is refused (S-3); while operators have yet
--   to be recomputed (resettle.lua) the settle deadline stands.
local groups, fresh = redis.call('HLEN', TEAM), {}
if redis.call('HEXISTS', TEAM, '0') == 0 then groups = groups + 1 end -- band 0 is team 0's, there or not
for k = 5, #ARGV, 7 do
  local id, old, known = ARGV[k], get(TEAM, ARGV[k]), ARGV[k + 5]
  if old and ARGV[3] == '1' then return reply('OK', 0, old.version or 1) end
  local version = old and (old.version or 1) or 0
  if known ~= '-1' and tonumber(known) ~= version then
    if old or known == '0' then return reply('STALE', id, version) end
    return reply('NOTFOUND', id)
  end
  local new = cjson.decode(ARGV[k + 1])
  new.version = version + 1
  if old then new.group, new.groups = old.group, old.groups
  elseif id == '0' then new.group = 0
  else new.group, groups = groups, groups + 1 end
  if new.group > 255 then return reply('FULL') end
  if ARGV[k + 3] ~= '-' then new.open, new.known = ARGV[k + 3], tonumber(ARGV[k + 4]) end
  fresh[#fresh + 1] = new
end
local versions = {}
for i, new in ipairs(fresh) do
  local k = 5 + (i - 1) * 7
  local id = ARGV[k]
  versions[i] = new.version
  put(TEAM, id, new)
  if ARGV[k + 2] == '' then redis.call('HDEL', ORG, 'hours:' .. id)
  else redis.call('HSET', ORG, 'hours:' .. id, ARGV[k + 2]) end
  if ARGV[k + 2] ~= '' or redis.call('EXISTS', QUEUE) == 1 then -- who waits for an opening hears what holds now
    later(0, 'hours/' .. org .. '/' .. id)
  end
  redis.call('XADD', AUDIT, 'MAXLEN', '~', 100000, '*', 'what', 'team settings', 'team', id, 'version', new.version, 'by', ARGV[4], 'set', ARGV[k + 6])
end
redis.call('SADD', KEYS[17], org)
if ARGV[3] ~= '1' then later(2000, 'settle/' .. org .. '/0') end -- a team 0 that is new has no operators
if redis.call('EXISTS', QUEUE) == 1 then WAKE = '1' end
return reply('OK', redis.call('HINCRBY', ORG, 'settings', 1), unpack(versions))
