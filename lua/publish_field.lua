-- Write a record into a hash, unless a newer one is there: of a custom domain, a project or an API key.
--
-- KEYS[1]  hash    records by field (redis_keys.domains, projects, intake_keys)
-- ARGV[1]  string  the field
-- ARGV[2]  integer the record's version, 0 to 2^53 (9 * 10^15), which Lua's numbers hold exactly
-- ARGV[3]  bytes   the new value: the version as 16 digits, then the record
--
-- Result: 1 when it was written, 0 when a newer version is there. The same version is written
-- again, so that repeating a publication repairs a value. A value that does not begin with a
-- version counts as older than any.
--
-- Example: with "0000000000000007..." in the field go.acme.com of KEYS[1]
--   EVALSHA <sha> 1 sy1:domains:{10} go.acme.com 6 "0000000000000006..."  ->  0, nothing changed
--   EVALSHA <sha> 1 sy1:domains:{10} go.acme.com 8 "0000000000000008..."  ->  1, written

assert(#KEYS == 1, "publish_field takes 1 key")
assert(#ARGV == 3, "publish_field takes 3 arguments")
local version = assert(tonumber(ARGV[2]), "ARGV[2] must be the version, an integer")

local value = redis.call("HGET", KEYS[1], ARGV[1])
local current = value and tonumber(string.sub(value, 1, 16))
if current and current > version then
    return 0
end
redis.call("HSET", KEYS[1], ARGV[1], ARGV[3])
return 1
