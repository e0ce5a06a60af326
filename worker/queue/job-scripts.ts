// Lua about jobs as BullMQ lays them out: how one is added, moved on, put back and kept. Those that belong to a call's record are
// functions here and become part of the record's own script, so that a record and its job never disagree.
//
//   <queue>:<id>          hash  name, data (the envelope), opts, timestamp, delay, priority, atm (attempts), stc (deaths), defa
//   <queue>:<id>:lock     string  token of the process that runs it, expires
//   <queue>:wait, active  list  of ids; delayed, prioritized: zset; stalled: set

import { alsoWhenFull } from '../store/scripts.ts'

/** Where BullMQ keeps its queues: <prefix>:<ns>:<function>:<id> is a job. */
export const QUEUES_PREFIX = '{thaw}:queue'
/** The death of a worker is no attempt; more of them than this for one call are a fault all the same. */
export const MAX_STALLS = 20
/** Clocks of two platforms, and a clock that is corrected a little, differ by less. */
export const CLOCK_SLACK_MS = 1_000

/** `queue` ends with a colon. `front`: it is the next. BullMQ's scores: ms * 4096 with room for the order within one ms; a priority
 *  above a counter. */
export const PLACE_JOB = `
local function place(queue, id, where, atMs, priority)
  if where == 'delayed' then
    local low = atMs * 4096
    local last = redis.call('ZREVRANGEBYSCORE', queue .. 'delayed', low + 4095, low, 'WITHSCORES', 'LIMIT', 0, 1)
    local score = last[2] and math.min(tonumber(last[2]) + 1, low + 4095) or low
    redis.call('ZADD', queue .. 'delayed', score, id)
  elseif priority > 0 then
    local count = where == 'front' and 0 or redis.call('INCR', queue .. 'pc') % 0x100000000
    redis.call('ZADD', queue .. 'prioritized', priority * 0x100000000 + count, id)
  else redis.call(where == 'front' and 'RPUSH' or 'LPUSH', queue .. 'wait', id) end
end`

/** A job that is there already stays as it is. */
export const ADD_JOB = `${PLACE_JOB}
local function addJob(queue, id, data, opts, nowMs, delayMs, priority)
  if redis.call('HEXISTS', queue .. id, 'data') == 1 then return end
  redis.call('HSET', queue .. id, 'name', 'call', 'data', data, 'opts', opts, 'timestamp', nowMs, 'delay', delayMs, 'priority', priority)
  place(queue, id, delayMs > 0 and 'delayed' or 'wait', nowMs + delayMs, priority)
end`

/** What becomes of a job whose attempt is over: it goes (`finish`), waits for its time with the attempt counted (`retry`) or not
 *  (`delay`), or is the next (`front`). False: it has to stay, and there is none. */
export const MOVE_JOB = `${PLACE_JOB}
local function moveJob(queue, id, how, atMs, delayMs)
  local job = queue .. id
  if how ~= 'finish' and redis.call('HEXISTS', job, 'data') == 0 then return false end
  redis.call('DEL', job .. ':lock')
  redis.call('SREM', queue .. 'stalled', id)
  redis.call('LREM', queue .. 'active', 0, id)
  if how == 'finish' then
    redis.call('DEL', job)
    return true
  end
  if how == 'retry' then redis.call('HINCRBY', job, 'atm', 1) end
  redis.call('HSET', job, 'delay', delayMs)
  place(queue, id, how == 'front' and 'front' or 'delayed', atMs, tonumber(redis.call('HGET', job, 'priority')) or 0)
  return true
end`

// What `ARGV[3]` has fetched waits for another time, uncounted.
export const DEFER = alsoWhenFull(`${MOVE_JOB}
if redis.call('GET', KEYS[1]) ~= ARGV[3] then return 0 end
return moveJob(ARGV[1], ARGV[2], 'delay', tonumber(ARGV[4]), tonumber(ARGV[5])) and 1 or 0`)

// Active jobs whose lock no process renews go back to the front of their queue, oldest first, as if never fetched, but for the
// count of such ends: past the highest the job is marked as BullMQ marks it (`defa`), and ends at its next fetch.
export const REQUEUE = alsoWhenFull(`
local moved = 0
for i, id in ipairs(ARGV) do
  if i > 1 and redis.call('LREM', KEYS[1], 1, id) > 0 then
    local job = ARGV[1] .. id
    redis.call('DEL', job .. ':lock')
    redis.call('SREM', KEYS[4], id)
    if redis.call('EXISTS', job) == 1 then
      if redis.call('HINCRBY', job, 'stc', 1) > ${MAX_STALLS} then redis.call('HSET', job, 'defa', 'stalled') end
      local priority = tonumber(redis.call('HGET', job, 'priority')) or 0
      if priority > 0 then redis.call('ZADD', KEYS[3], priority * 0x100000000, id)
      else redis.call('RPUSH', KEYS[2], id) end
      moved = moved + 1
    end
  end
end
return moved`)

// Locks of running jobs are kept; one that ran out while its job stayed active is taken again.
export const RENEW = alsoWhenFull(`
local kept = {}
for i = 1, #KEYS, 3 do
  local n = (i - 1) / 3
  local token, id = ARGV[2 + 2 * n], ARGV[3 + 2 * n]
  local holder = redis.call('GET', KEYS[i])
  local ours = holder == token or (not holder and redis.call('LPOS', KEYS[i + 1], id))
  if ours then
    redis.call('SET', KEYS[i], token, 'PX', ARGV[1])
    redis.call('SREM', KEYS[i + 2], id)
  end
  kept[n + 1] = ours and 1 or 0
end
return kept`)

// Of a page of delayed jobs, those that would wait longer than their own delay from now: it was counted from a clock that has
// gone back since. Answers how many it saw, and moved.
export const BRING_FORWARD = alsoWhenFull(`
local page = redis.call('ZRANGE', KEYS[1], ARGV[3], ARGV[3] + ARGV[4] - 1, 'WITHSCORES')
local moved = 0
for i = 1, #page, 2 do
  local delay = tonumber(redis.call('HGET', ARGV[1] .. page[i], 'delay')) or 0
  local latest = (ARGV[2] + delay) * 4096
  if tonumber(page[i + 1]) > latest + ${CLOCK_SLACK_MS} * 4096 then
    redis.call('ZADD', KEYS[1], latest, page[i])
    moved = moved + 1
  end
end
return {#page / 2, moved}`)

/** Removes a job that no process runs from its queue, wherever in it the job is. */
export const DROP_JOB = `
local function dropJob(queue, id)
  for _, list in ipairs({ 'active', 'wait' }) do redis.call('LREM', queue .. list, 0, id) end
  for _, set in ipairs({ 'delayed', 'prioritized' }) do redis.call('ZREM', queue .. set, id) end
  redis.call('SREM', queue .. 'stalled', id)
  return redis.call('DEL', queue .. id, queue .. id .. ':lock')
end`

/** What every key of a queue begins with: its namespace and function are joined by `/` elsewhere. */
export function queuePrefixOf(queueKey: string): string {
  return `${QUEUES_PREFIX}:${queueKey.replace('/', ':')}:`
}
