// The scripts of the invocation store: each is one atomic step in the life of a call. Keys and their meaning: invocation-store.ts.

import { alsoWhenFull } from '../store/scripts.ts'
import { ADD_JOB, DROP_JOB, MOVE_JOB, QUEUES_PREFIX } from './job-scripts.ts'
import { COUNTING } from './use-scripts.ts'

// Its queue is due, the call can be asked for, and its job is there: all of it or nothing. May be repeated; a call that is over
// stays over. A number: refused, for the namespace has so many bytes queued already.
export const ACCEPT = `${ADD_JOB}
${COUNTING}
local current = redis.call('GET', KEYS[1])
if current and string.sub(current, 1, 1) ~= '@' then
  local state = cjson.decode(current).state
  if state ~= 'queued' and state ~= 'running' then return end
end
if not current then
  local ns = string.match(ARGV[6], '^[^/]*')
  if ARGV[14] ~= '' then
    local queued = used(ns, 'queued')
    if queued + tonumber(ARGV[13]) > tonumber(ARGV[14]) then return queued end
  end
  uncount(ns, ARGV[4])
  count(ns, ARGV[4], 'q', ARGV[13], ARGV[15])
end
redis.call('ZADD', KEYS[3], 'LT', ARGV[5], ARGV[6])
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
if ARGV[3] ~= '' then redis.call('ZADD', KEYS[2], 'NX', ARGV[3], ARGV[4]) end
addJob(ARGV[7], ARGV[4], ARGV[8], ARGV[9], tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12]))`

// The text of a record; of a call that never ran `@` and its envelope; nil when it has no job either: it was not accepted.
const READ_FUNCTION = `
local function read(key, id)
  local text = redis.call('GET', key)
  if not text or string.sub(text, 1, 1) ~= '@' then return text end
  local queue = string.gsub(string.sub(text, 2), '/', ':')
  local envelope = redis.call('HGET', '${QUEUES_PREFIX}:' .. queue .. ':' .. id, 'data')
  return envelope and '@' .. envelope
end`

export const READ = `${READ_FUNCTION}
return read(KEYS[1], ARGV[1])`

// Answers the record when the call is over already: its job may have stayed behind. `taken`: another holds the job's lock.
export const BEGIN = alsoWhenFull(`
local holder = redis.call('GET', KEYS[2])
if holder and holder ~= ARGV[3] then return 'taken' end
local current = redis.call('GET', KEYS[1])
if current and string.sub(current, 1, 1) ~= '@' then
  local state = cjson.decode(current).state
  if state ~= 'queued' and state ~= 'running' then return current end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false`)

// CONTRACT: only the holder of the job's lock may publish; a lock that merely ran out, its job still active, is as good. Record
// and job change together, and also when Redis is full: what was accepted comes to its end. 1: done, now or by an earlier try
// whose answer was lost; 0: another has the job; -1: there is no job that could run again.
// A list instead of 1: what was forgotten of the namespace's kept calls to make room (use-scripts.ts).
export const SETTLE = alsoWhenFull(`${MOVE_JOB}
${COUNTING}
local holder = redis.call('GET', KEYS[3])
if holder ~= ARGV[4] then
  if redis.call('GET', KEYS[1]) == ARGV[1] then return 1 end
  if holder or not redis.call('LPOS', KEYS[4], ARGV[5]) then return 0 end
end
if not moveJob(ARGV[12], ARGV[5], ARGV[13], tonumber(ARGV[14]), tonumber(ARGV[15])) then return -1 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[3] ~= '' then redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[2]) end
if ARGV[8] ~= '' then
  redis.call('RPUSH', KEYS[5], ARGV[8])
  redis.call('PEXPIRE', KEYS[5], ARGV[2])
end
if ARGV[9] ~= '' then
  redis.call('SET', KEYS[6], ARGV[9], 'PX', ARGV[2])
  redis.call('ZADD', KEYS[7], ARGV[10], ARGV[5])
end
if ARGV[11] ~= '' then redis.call('HSET', KEYS[8], ARGV[5], ARGV[11]) end
if ARGV[7] ~= '' then redis.call('ZADD', KEYS[9], 'LT', ARGV[14], ARGV[7]) end
if ARGV[6] ~= '' then redis.call('PUBLISH', ARGV[6], ARGV[5]) end
if ARGV[6] ~= '' then return ended(ARGV[16], ARGV[5], ARGV[9] ~= '' and 'd' or 'k', ARGV[17], ARGV[2], ARGV[18]) end
return 1`)

// Removes the job of a call that is over, unless another process holds it.
export const FINISH = alsoWhenFull(`${DROP_JOB}
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[3] then return 0 end
return dropJob(ARGV[1], ARGV[2])`)

// Only while no process runs it; its job is removed, too, from whichever queue it is in.
export const CANCELLED = alsoWhenFull(`${DROP_JOB}
${COUNTING}
for i = 9, #ARGV do if redis.call('EXISTS', ARGV[i] .. ARGV[4] .. ':lock') == 1 then return 0 end end
local current = redis.call('GET', KEYS[1])
if not current then return 0 end
if string.sub(current, 1, 1) ~= '@' then
  local state = cjson.decode(current).state
  if state ~= 'queued' and state ~= 'running' then return 0 end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if ARGV[5] ~= '' then redis.call('HSET', KEYS[2], ARGV[4], ARGV[5]) end
for i = 9, #ARGV do dropJob(ARGV[i], ARGV[4]) end
redis.call('PUBLISH', ARGV[3], ARGV[4])
return ended(ARGV[6], ARGV[4], 'k', ARGV[7], ARGV[2], ARGV[8])`)

// A queue that was due a minute ago and holds nothing leaves the index; one that holds delayed jobs alone is due with the first.
// The minute: between the index and its job an accepted call is on its way.
export const SETTLE_DUE = `
local settled = 0
for _, queue in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, 1000)) do
  local key = '${QUEUES_PREFIX}:' .. string.gsub(queue, '/', ':') .. ':'
  local held = redis.call('LLEN', key .. 'wait') + redis.call('LLEN', key .. 'active') + redis.call('ZCARD', key .. 'prioritized')
  if held == 0 then
    local first = redis.call('ZRANGE', key .. 'delayed', 0, 0, 'WITHSCORES')
    if first[2] then redis.call('ZADD', KEYS[1], math.floor(tonumber(first[2]) / 4096), queue)
    else redis.call('ZREM', KEYS[1], queue) end
    settled = settled + 1
  end
end
return settled`

// Of entries that old, those without a record leave the list. Answers the score to go on from.
export const TRIM_INDEX = `
local rows = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[2], 'WITHSCORES', 'LIMIT', 0, ARGV[3])
for i = 1, #rows, 2 do
  if redis.call('EXISTS', ARGV[4] .. rows[i]) == 0 then redis.call('ZREM', KEYS[1], rows[i]) end
end
return #rows == 2 * tonumber(ARGV[3]) and rows[#rows] or false`

export const CLAIM = `
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return false end
return redis.call('GET', KEYS[1])`

export const UNCLAIM = `
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`

// `ARGV[5]`, `ARGV[6]`: texts that a record in question holds (a first sieve), or ''. A call that never ran holds neither.
export const PAGE_OF = `${READ_FUNCTION}
local rows = redis.call('ZREVRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[2], 'WITHSCORES', 'LIMIT', ARGV[3], ARGV[4])
local found = {}
for i = 1, #rows, 2 do
  local text = read(ARGV[7] .. rows[i], rows[i])
  if text then
    local queued = string.sub(text, 1, 1) == '@'
    local fits = ARGV[5] == '' or (queued and ARGV[8] == '1') or (not queued and string.find(text, ARGV[5], 1, true))
    if fits and (ARGV[6] == '' or string.find(text, ARGV[6], 1, true)) then found[#found + 1] = text end
  end
end
return {found, #rows / 2, rows[#rows - 1] or false, rows[#rows] or false}`
