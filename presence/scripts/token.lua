-- token: an operator's record, for the check of a token.
-- KEYS 1 meta; 2 operators   ARGV 1 organization; 2 incarnation; 3 operator id
-- Returns OK, record JSON ('' for none)
--   | HOLD: a logout of this operator may be lost and is being asserted (adopt.lua)
-- Changes nothing. A script all the same, not a read: on a server that may have
--   lost the logout it is not known before somebody has looked (identity.go).
local head = redis.call('HMGET', KEYS[1], 'gen', 'ctr', 'hold', 'srv')
if head[4] ~= me then return elsewhere() end
local clock = redis.call('TIME')
local gen, ctr = head[1] or '1', head[2] or '0'
if tonumber(head[3] or '0') > clock[1] * 1000 + math.floor(clock[2] / 1000) then return {'HOLD', gen, ctr, '0'} end
return {'OK', gen, ctr, '0', redis.call('HGET', KEYS[2], ARGV[3]) or ''}
