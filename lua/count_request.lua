-- Count one request against a limit, unless the limit is used up. Exact: it runs as one step.
--
-- KEYS[1]  string   counter of one subject in one window (redis_keys.rate_limit)
-- ARGV[1]  integer  limit: requests allowed in the window, >= 0
-- ARGV[2]  integer  ttl: seconds that a new counter lives; longer than the window's rest
--
-- Result   {allowed, used}: 1 or 0, and the requests counted so far. Refused ones are not counted.
--
-- Example  limit 2, three calls: {1, 1}, {1, 2}, {0, 2}

assert(#KEYS == 1, 'count_request takes 1 key')
assert(#ARGV == 2, 'count_request takes 2 arguments')

local limit = tonumber(ARGV[1])
local used = tonumber(redis.call('GET', KEYS[1]) or '0')
if used >= limit then
    return {0, used}
end
used = redis.call('INCR', KEYS[1])
if used == 1 then
    redis.call('EXPIRE', KEYS[1], ARGV[2])
end
return {1, used}
