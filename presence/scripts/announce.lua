-- announce: tell every node that serves this partition of something.
-- ARGV 3 topic
-- Returns OK
-- Changes nothing but the partition's event counter.
cast(ARGV[3], '')
return reply('OK')
