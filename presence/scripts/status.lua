-- status: an operator's intent changes.
-- ARGV 3 operator id; 4 status (checked by the caller against the organization's
--   list); 5 version the writer last saw, 0 for "do not compare"; 6 source
-- Returns OK, record JSON | STALE, record JSON | GONE
-- Stays true: of two writers with the same version one is refused (S-3).
local rec = open(ARGV[3])
if not rec or rec.account == 2 then return reply('GONE') end
local version = tonumber(ARGV[5])
if version > 0 and version ~= rec.version then return reply('STALE', cjson.encode(rec)) end
if rec.wrap and ARGV[4] == 'Available' then -- choosing Available ends wrap-up
  rec.wrap = nil
  redis.call('ZREM', DUE, 'wrap/' .. org .. '/' .. rec.id)
end
rec.intent, rec.source, rec.version, rec.missed = ARGV[4], ARGV[6], (rec.version or 0) + 1, nil
settle(rec)
return reply('OK', cjson.encode(rec))
