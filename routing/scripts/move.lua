-- Stands behind match.lua: a chat leaves its operator and waits again.
-- Stays true  its waiting time and its rank are kept, also in another team; who had
--             it is not in it any more, and the timers of that time do nothing.

-- requeue puts a chat back to its place; where a team is named that takes chats now,
-- to its place there. The caller has dropped it from its operator's work.
local function requeue(c, to)
  local tm = to and to ~= c.team and team(to)
  if tm and not outdated(tm) and admit(tm) == 'serve' then c.team, c.declined, c.ask, c.held = to, nil, nil, nil end
  c.lost, c.warned = nil, nil
  enqueue(c)
  -- Of a visitor who is gone, and for whom a deadline stands, it troubles nobody (V-1).
  if not linkOf(c.visitor) and (team(c.team) or {}).gone ~= 'offer' and redis.call('ZSCORE', DUE, 'silent/' .. org .. '/' .. int(c.id)) then
    redis.call('ZREM', QUEUE, c.id)
    c.state = 'parked'
    putChat(c)
  end
end
