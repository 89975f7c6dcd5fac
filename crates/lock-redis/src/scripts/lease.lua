-- KEYS: lease, index. ARGV: name, holder, time to live in milliseconds.
-- Gives nothing if it is the asker's now, else the holder.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[2] then
    return holder
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('ZADD', KEYS[2], 0, ARGV[1])
-- The index lives as long as its longest lease.
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[3]) then
    redis.call('PEXPIRE', KEYS[2], ARGV[3])
end
return false
