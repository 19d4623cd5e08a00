-- resettle: recompute operators after a setting changed.
-- ARGV 3.. operator ids (at most 250)
-- Returns OK
for k = 3, #ARGV do
  local rec = open(ARGV[k])
  if rec then settle(rec) end
end
return reply('OK')
