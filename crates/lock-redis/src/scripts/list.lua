-- KEYS: index. ARGV: what a lease's key starts with, from, to (as ZRANGEBYLEX has them), how many at most.
-- Gives the name to go on after, if there may be more, and the names and holders in turn.
local names = redis.call('ZRANGEBYLEX', KEYS[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])
local held = {}
for _, name in ipairs(names) do
    local holder = redis.call('GET', ARGV[1] .. name)
    if holder then
        held[#held + 1] = name
        held[#held + 1] = holder
    else
        redis.call('ZREM', KEYS[1], name)
    end
end
local more = #names == tonumber(ARGV[4])
return { more and names[#names], held }
