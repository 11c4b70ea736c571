-- Write a link's record, unless a newer one is there.
--
-- KEYS[1]  string  the link's key (redis_keys.link)
-- ARGV[1]  integer the record's version, 0 to 2^53 (9 * 10^15), which Lua's numbers hold exactly
-- ARGV[2]  bytes   the key's new value: the version as 16 digits, then the record
--
-- Result: 1 when it was written, 0 when a newer version is there. The same version is written
-- again, so that repeating a publication repairs a value. A value that does not begin with a
-- version counts as older than any.
--
-- Example: with "0000000000000007..." at KEYS[1]
--   EVALSHA <sha> 1 sy1:link:{61}:shoes 6 "0000000000000006..."  ->  0, nothing changed
--   EVALSHA <sha> 1 sy1:link:{61}:shoes 8 "0000000000000008..."  ->  1, written

assert(#KEYS == 1, "publish_link takes 1 key")
assert(#ARGV == 2, "publish_link takes 2 arguments")
local version = assert(tonumber(ARGV[1]), "ARGV[1] must be the version, an integer")

local current = tonumber(redis.call("GETRANGE", KEYS[1], 0, 15))
if current and current > version then
    return 0
end
redis.call("SET", KEYS[1], ARGV[2])
return 1
