-- Say how far a journal has landed, unless it has been said to have landed further.
--
-- KEYS[1]  string   the journal's mark (redis_keys.landed)
-- ARGV[1]  integer  sequence up to which the journal has landed without a gap, >= 0
-- ARGV[2]  integer  ttl: seconds that the mark lives
--
-- Result: the mark as it now is. Flushers commit in one order and may speak in another.
--
-- Example: with "7" at KEYS[1]
--   EVALSHA <sha> 1 sy1:landed:{10}:0197... 6 604800  ->  7, nothing changed
--   EVALSHA <sha> 1 sy1:landed:{10}:0197... 9 604800  ->  9

assert(#KEYS == 1, "raise_landed takes 1 key")
assert(#ARGV == 2, "raise_landed takes 2 arguments")
local sequence = assert(tonumber(ARGV[1]), "ARGV[1] must be the sequence, an integer")

local current = tonumber(redis.call("GET", KEYS[1]) or "-1")
if current > sequence then
    return current
end
redis.call("SET", KEYS[1], ARGV[1], "EX", ARGV[2])
return sequence
