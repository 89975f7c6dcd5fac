-- The generic cell rate algorithm, operation by operation as `gcra::take` of aidt-lock has it.
-- Gives the arrival time to store, and for a refusal the wait. All are microseconds in doubles.
local function take(arrival, now, interval, tolerance)
    local due = math.max(arrival, now)
    local wait = due - tolerance - now
    if wait <= 0 then
        return due + interval, nil
    end
    return arrival, math.ceil(wait)
end
