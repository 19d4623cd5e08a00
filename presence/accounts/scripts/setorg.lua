-- setorg.lua: replace an organization's settings, if they are still what was read.
--
-- KEYS[1]  organization
-- KEYS[2]  audit of the registry
-- ARGV[1]  text that was read
-- ARGV[2]  new text
-- ARGV[3]  organization id
-- ARGV[4]  who
--
-- Returns {'OK'}, {'STALE'} when somebody else wrote meanwhile.
-- Stays true: of two writers who read the same text one is refused, and each
-- change has an entry in the audit.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {'STALE'}
end
redis.call('SET', KEYS[1], ARGV[2])
redis.call('XADD', KEYS[2], 'MAXLEN', '~', 100000, '*', 'what', 'organization settings', 'org', ARGV[3], 'by', ARGV[4], 'set', ARGV[2])
return {'OK'}
