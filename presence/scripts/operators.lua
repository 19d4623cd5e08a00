-- operators: create operators, or change what the company says of one.
-- ARGV 3.. record JSONs with an id each (at most 250); fields present replace
-- Returns OK, created
-- Stays true: repeating it changes nothing; link, intent and work are untouched.
local created = 0
for k = 3, #ARGV do
  local new = cjson.decode(ARGV[k])
  local rec = open(int(new.id))
  if not rec then
    created = created + 1
    rec = {id = new.id, name = '', role = 'operator', account = 0, intent = 'Unavailable', version = 1,
      shown = 'Offline', since = NOW}
  end
  local was = rec.account
  if new.teams then -- settle() adds; what is left must go here
    unlist(rec)
    rec.teams = nil
    if #new.teams == 0 then new.teams = nil end -- an empty table would come out as {}
  end
  if new.skills then
    rec.skills = nil
    if not next(new.skills) then new.skills = nil end
  end
  for field, value in pairs(new) do rec[field] = value end
  if rec.account ~= 0 then releaseAll(rec, 'withdrawn') end
  if new.account == 2 and was ~= 2 then
    local n = tally(rec)
    signOut(rec, 'account deleted')
    if n.chat + n.call > 0 then later(0, 'lost/' .. org .. '/' .. rec.id) end
  end
  settle(rec)
end
return reply('OK', created)
