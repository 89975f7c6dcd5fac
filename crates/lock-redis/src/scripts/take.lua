-- KEYS: bucket. ARGV: interval, tolerance.
-- Gives nothing if granted, else the wait in microseconds.
local time = redis.call('TIME')
local now = time[1] * 1e6 + time[2]
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
-- No bucket is emptier than empty: else a clock that was set back would refuse for as long.
local emptiest = now + tolerance + interval
local stored = tonumber(redis.call('GET', KEYS[1]) or now) or now
local arrival, wait = take(math.min(stored, emptiest), now, interval, tolerance)
if wait then
    return string.format('%.17g', wait)
end
-- A full bucket is none. A second more, since Redis expires by a clock of its own precision.
local idle = math.min(math.ceil((arrival - now) / 1000) + 1000, 1e14)
redis.call('SET', KEYS[1], string.format('%.17g', arrival), 'PX', string.format('%.0f', idle))
return false
