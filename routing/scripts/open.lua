-- The opening-hours prelude: stands between presence's and match.lua. A team's
-- record has "open", the times "from-to,from-to" in Redis ms that its rules give
-- until "known" (presence/hours.go); without it team 0's count, and without any a
-- team is always open. Nothing here is stored: all is asked at NOW (H-3).

local function hoursOf(tm) return tm.open and tm or team(0) or {} end
-- shut: is the team closed, and when does it open next (nil: not known)
local function shut(tm)
  local h = hoursOf(tm)
  if not h.open then return false end
  for from, to in string.gmatch(h.open, '(%d+)-(%d+)') do
    if NOW < tonumber(from) then return true, tonumber(from) end
    if NOW < tonumber(to) then return false end
  end
  return true
end
-- outdated: every node was away for days, and nobody compiled the rules anew
local function outdated(tm)
  local h = hoursOf(tm)
  return h.open and NOW >= (h.known or 0)
end
local function staffed(tm)
  local lo = tm.group * BAND
  return redis.call('ZCOUNT', FREE, int(lo), '(' .. int(lo + BAND)) > 0
    or redis.call('ZCOUNT', FREE, int(STAFF - lo), int(FULL - lo)) > 0
end
-- admit is the one decision on a chat that somebody wants to start (A-13):
--
--   hours   somebody at work   settings                       answer
--   open    yes                                               serve: to an operator, or the queue
--   open    no                 unstaffed = queue (default)    serve: the queue
--   open    no                 unstaffed = form               form: refused, leave a message
--   closed  whatever           closed = form (default)        form
--   closed  whatever           closed = queue                 hold: waits until it opens
--   closed  whatever           closed = serve                 as while open
local function admit(tm)
  local closed, opens = shut(tm)
  if closed and tm.closed ~= 'serve' then return tm.closed == 'queue' and 'hold' or 'form', opens end
  if tm.unstaffed == 'form' and not staffed(tm) then return 'form', opens end
  return 'serve', opens
end
-- held: a chat that came while its team was closed waits for the opening
local function held(c, tm) return c.held and tm.closed ~= 'serve' and shut(tm) end
local function opensFor(c)
  local tm = c.held and c.state == 'waiting' and team(c.team)
  if not tm or not held(c, tm) then return nil end
  local _, opens = shut(tm)
  return opens
end
