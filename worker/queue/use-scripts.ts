// Lua that counts what a namespace's asynchronous calls take: part of the scripts that begin and end a call, so that no crash makes it
// wrong. A call is counted once, by the size it was counted with.
//
//   {thaw}:use:<ns>     hash  queued, kept, dead: bytes
//   {thaw}:sizes:<ns>   hash  id → kind (q, k, d), bytes, and `:` with the digest of its idempotency key
//   {thaw}:ends:k:<ns>  zset  id of a kept call → ms when its record goes; ends:d: of dead letters
import { alsoWhenFull } from '../store/scripts.ts'

/** `own`: not to be forgotten for itself. `most` '': no bound. Dead letters take at most half of it. */
export const COUNTING = `
local FIELD = { q = 'queued', k = 'kept', d = 'dead' }
local function uncount(ns, id)
  local size = redis.call('HGET', '{thaw}:sizes:' .. ns, id)
  if not size then return '' end
  local kind, bytes, rest = string.match(size, '^(%a)(%d+)(.*)$')
  redis.call('HINCRBY', '{thaw}:use:' .. ns, FIELD[kind], '-' .. bytes)
  redis.call('HDEL', '{thaw}:sizes:' .. ns, id)
  if kind ~= 'q' then redis.call('ZREM', '{thaw}:ends:' .. kind .. ':' .. ns, id) end
  return rest
end
local function nowMs()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function count(ns, id, kind, bytes, rest, keptMs)
  redis.call('HSET', '{thaw}:sizes:' .. ns, id, kind .. bytes .. rest)
  redis.call('HINCRBY', '{thaw}:use:' .. ns, FIELD[kind], bytes)
  if kind ~= 'q' then redis.call('ZADD', '{thaw}:ends:' .. kind .. ':' .. ns, nowMs() + keptMs, id) end
end
local function used(ns, field) return tonumber(redis.call('HGET', '{thaw}:use:' .. ns, field) or 0) end
local function forget(ns, id, kind, gone)
  local record = redis.call('GET', '{thaw}:inv:' .. id)
  local result = redis.call('GET', '{thaw}:res:' .. id)
  local file = result and string.match(result, '"file":"([%w-]+)"')
  if file then gone[#gone + 1] = 'r' .. file end
  if kind == 'd' then
    gone[#gone + 1] = 'b' .. id
    if record then redis.call('ZREM', '{thaw}:deads:' .. ns .. '/' .. cjson.decode(record)['function'], id) end
  else gone[#gone + 1] = 'k' .. id end
  local rest = uncount(ns, id)
  if rest ~= '' then redis.call('DEL', '{thaw}:idem:' .. string.sub(rest, 2)) end
  redis.call('DEL', '{thaw}:inv:' .. id, '{thaw}:res:' .. id, '{thaw}:tries:' .. id, '{thaw}:dead:' .. id)
  redis.call('ZREM', '{thaw}:invs:' .. ns, id)
  for _, told in ipairs(redis.call('SMEMBERS', '{thaw}:deliveries:of:' .. id)) do
    local text = redis.call('GET', '{thaw}:delivery:' .. told)
    if text and not string.find(text, '"state":"pending"', 1, true) then redis.call('DEL', '{thaw}:delivery:' .. told) end
  end
end
local function trim(ns, own, most)
  local gone = {}
  local now = nowMs()
  for _, kind in ipairs({ 'k', 'd' }) do
    local ended = redis.call('ZRANGEBYSCORE', '{thaw}:ends:' .. kind .. ':' .. ns, '-inf', now, 'LIMIT', 0, 8)
    for _, id in ipairs(ended) do uncount(ns, id) end
  end
  if most == '' then return gone end
  most = tonumber(most)
  for _ = 1, 32 do
    local dead = used(ns, 'dead')
    local kind = dead > most / 2 and 'd' or 'k'
    if kind == 'k' and used(ns, 'kept') + dead <= most then break end
    local oldest = redis.call('ZRANGE', '{thaw}:ends:' .. kind .. ':' .. ns, 0, 1)
    local id = oldest[1]
    if id == own then id = oldest[2] end
    if not id then break end
    forget(ns, id, kind, gone)
  end
  return gone
end
local function ended(ns, id, kind, bytes, keptMs, most)
  count(ns, id, kind, bytes, uncount(ns, id), keptMs)
  return trim(ns, id, most)
end`

/** A page of ids: what is counted and has no record any more is counted no longer, what counts as queued and is over counts as kept.
 *  Answers how many were wrong. */
export const CHECK_COUNTED = alsoWhenFull(`${COUNTING}
local wrong, ns = 0, ARGV[1]
for i = 3, #ARGV do
  local id = ARGV[i]
  local size = redis.call('HGET', '{thaw}:sizes:' .. ns, id)
  local record = redis.call('GET', '{thaw}:inv:' .. id)
  if size and not record then
    uncount(ns, id)
    wrong = wrong + 1
  elseif size and string.sub(size, 1, 1) == 'q' and string.sub(record, 1, 1) ~= '@' then
    local state = cjson.decode(record).state
    if state ~= 'queued' and state ~= 'running' then
      local dead = redis.call('STRLEN', '{thaw}:dead:' .. id)
      local bytes = #record + redis.call('STRLEN', '{thaw}:res:' .. id) + dead + ARGV[2]
      count(ns, id, dead > 0 and 'd' or 'k', bytes, uncount(ns, id), redis.call('PTTL', '{thaw}:inv:' .. id))
      wrong = wrong + 1
    end
  end
end
return wrong`)

/** Sums from what is counted one by one; nothing for a namespace with more than ARGV[2]. Answers whether they were wrong. */
export const RECOUNT = alsoWhenFull(`
local sizes, use = '{thaw}:sizes:' .. ARGV[1], '{thaw}:use:' .. ARGV[1]
if redis.call('HLEN', sizes) > tonumber(ARGV[2]) then return 0 end
local sums = { q = 0, k = 0, d = 0 }
for _, size in ipairs(redis.call('HVALS', sizes)) do
  local kind, bytes = string.match(size, '^(%a)(%d+)')
  sums[kind] = sums[kind] + tonumber(bytes)
end
local wrong = 0
for kind, field in pairs({ q = 'queued', k = 'kept', d = 'dead' }) do
  if tonumber(redis.call('HGET', use, field) or 0) ~= sums[kind] then
    wrong = 1
    redis.call('HSET', use, field, string.format('%.0f', sums[kind]))
  end
end
return wrong`)

/** An awaited call's answer is given: only its record goes on counting. */
export const FORGET_RESULT = alsoWhenFull(`${COUNTING}
redis.call('DEL', KEYS[1])
local record = redis.call('GET', KEYS[2])
if not record or string.sub(record, 1, 1) == '@' then return end
local ns = cjson.decode(record).namespace
local size = redis.call('HGET', '{thaw}:sizes:' .. ns, ARGV[1])
if size and string.sub(size, 1, 1) == 'k' then
  count(ns, ARGV[1], 'k', #record + ARGV[2], uncount(ns, ARGV[1]), redis.call('PTTL', KEYS[2]))
end`)
