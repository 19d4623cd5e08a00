-- resettle: recompute operators after settings changed.
-- ARGV 3 '' or, in the last call, the mark of the change; 4.. operator ids (at most 250)
-- Returns OK
-- Stays true: the settle deadline goes only when nothing has been changed since.
for k = 4, #ARGV do
  local rec = open(ARGV[k])
  if rec then settle(rec) end
end
if ARGV[3] ~= '' and ARGV[3] == (redis.call('HGET', ORG, 'settings') or '0') then
  redis.call('ZREM', DUE, 'settle/' .. org .. '/0')
end
return reply('OK')
