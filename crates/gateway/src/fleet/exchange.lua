-- One exchange of letters, whole or not at all. KEYS: the letters, then the accounts. ARGV: who says it, the letter, for how many
-- milliseconds it counts, then for each account the replica's own sum and for how many seconds it is kept.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local counts = tonumber(ARGV[3])

redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f ', now) .. ARGV[2])
redis.call('PEXPIRE', KEYS[1], counts)
local others = {}
local letters = redis.call('HGETALL', KEYS[1])
for i = 1, #letters, 2 do
  if letters[i] ~= ARGV[1] then
    local at, text = string.match(letters[i + 1], '^(%d+) (.*)$')
    local silent = at and now - at
    if silent and silent < counts and silent > -counts then
      table.insert(others, letters[i])
      table.insert(others, string.format('%.0f', math.max(silent, 0)))
      table.insert(others, text)
    else
      redis.call('HDEL', KEYS[1], letters[i])
    end
  end
end

local totals = {}
for i = 2, #KEYS do
  local own, keep = ARGV[2 * i], ARGV[2 * i + 1]
  local more = own - (redis.call('HGET', KEYS[i], ARGV[1]) or 0)
  if more > 0 then
    redis.call('HSET', KEYS[i], ARGV[1], own)
    redis.call('HINCRBY', KEYS[i], 'total', string.format('%.0f', more))
    redis.call('EXPIRE', KEYS[i], keep)
  end
  totals[i - 1] = redis.call('HGET', KEYS[i], 'total') or '0'
end
return {others, totals}
