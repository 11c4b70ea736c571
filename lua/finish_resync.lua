-- Declare that every link of a group is in Redis, unless it lost anything since the resync began.
--
-- KEYS[1]  string  the running resync's token (redis_keys.links_resync)
-- KEYS[2]  string  the marker "every link of the group is here" (redis_keys.links_ready)
-- ARGV[1]  string  the token that this resync wrote when it began
-- ARGV[2]  string  the marker's new value, <history>:<epoch> (edge/contract/readiness.py)
--
-- Result: 1 when the marker was set and the token removed; 0 when the token is gone or another
-- resync's, which means that Redis was emptied: what was written before may be lost.
--
-- Example:
--   SET sy1:links:resync:{10} f00d
--   EVALSHA <sha> 2 sy1:links:resync:{10} sy1:links:ready:{10} f00d 8c5e...:77aa...  ->  1
--   EVALSHA <sha> 2 sy1:links:resync:{10} sy1:links:ready:{10} f00d 8c5e...:77aa...  ->  0

assert(#KEYS == 2, "finish_resync takes 2 keys")
assert(#ARGV == 2, "finish_resync takes 2 arguments")

if redis.call("GET", KEYS[1]) ~= ARGV[1] then
    return 0
end
redis.call("DEL", KEYS[1])
redis.call("SET", KEYS[2], ARGV[2])
return 1
