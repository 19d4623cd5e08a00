-- adopt: which server is this, and is it the one the partition was written on?
-- (sent as EVAL on one connection by identity.go, which then loads the others)
-- KEYS 1 meta; 2 live   ARGV 1 PUBLISH | SPUBLISH; 2 ms in which nobody is matched after a rise;
--   3 the generation that the caller knows, 0 for none; 4 the library that it will call (library.go)
-- Returns {identity, gen, '1' when gen was raised here, connected replicas}
-- Stays true: gen is never used twice, not even after the store was emptied: it
--   is at least the seconds since 2025. A partition on a server that it was not last
--   written on, or that is behind a gen which somebody has seen (a master that was cut
--   off and comes back in the place of the one that took over), has a new gen before
--   anything is written there. Until every
--   incarnation that was live has asserted what it holds (asserted.lua), or the
--   time is over, which those at work prolong (asserting.lua), no chat is matched: what
--   looks free may be taken. A partition that
--   somebody knows and that is not here any more has a rise too, until its time.
local server, copies, whole = 'demo', '0', pcall(redis.call, 'INFO', 'replication')
if whole then -- the demo store has no replication and no such answer in scripts
  local repl = redis.call('INFO', 'replication')
  local id, run = string.match(repl, 'master_replid:(%x+)'), string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  if id and run then
    server = run .. '.' .. id
    copies = string.match(repl, 'connected_slaves:(%d+)') or '0'
  end
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[1], 'lib:' .. ARGV[4], string.format('%.0f', now))
local m = redis.call('HMGET', KEYS[1], 'gen', 'srv')
if m[1] and m[2] == server and m[1] + 0 >= ARGV[3] + 0 then return {server, m[1], '0', copies} end
local known = m[1] or ARGV[3] ~= '0'
local gen = math.max((tonumber(m[1]) or 0) + 1, ARGV[3] + 1, clock[1] - 1735689600)
gen = string.format('%.0f', gen)
redis.call('HSET', KEYS[1], 'gen', gen, 'srv', server)
if known then
  redis.call('HSET', KEYS[1], 'hold', string.format('%.0f', now + ARGV[2]), 'risen', string.format('%.0f', now))
  if m[1] then redis.call('HSET', KEYS[1], 'awaited', table.concat(redis.call('SMEMBERS', KEYS[2]), ',')) -- else nobody knows for whom
  else redis.call('HDEL', KEYS[1], 'awaited') end
  redis.call(ARGV[1], string.sub(KEYS[1], 1, -5) .. 'bc', gen .. '\t0\t0\tgen\t')
end
return {server, gen, known and '1' or '0', copies}
