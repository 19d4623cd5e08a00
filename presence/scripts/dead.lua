-- dead: begin or go on to reap a dead incarnation in one partition.
-- KEYS 1 live; 2 own of the dead; 3 iq; 4 deaf   ARGV 1 the dead incarnation; 2 how many
-- Returns edges still to be ended ('org/person'), at most ARGV[2]; none: it holds
--   nothing here any more, for ever
-- Stays true: off the live list first, so what it held is all there is; its inbox
--   number last, so a reaper that stops half way leaves a trace (sweep.lua).
redis.call('SREM', KEYS[1], ARGV[1])
local held = redis.call('SRANDMEMBER', KEYS[2], ARGV[2])
if #held == 0 then
  redis.call('HDEL', KEYS[3], ARGV[1])
  redis.call('SREM', KEYS[4], ARGV[1])
end
return held
