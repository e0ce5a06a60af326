// Lua that compares records with jobs, and puts one pair right. What is wrong is reconcile-policy.ts's.
import { alsoWhenFull } from '../store/scripts.ts'
import { DROP_JOB, MAX_STALLS, PLACE_JOB } from './job-scripts.ts'
import { MENDINGS } from './reconcile-policy.ts'

/** In a longer queue a job that is in no other list is taken to wait: to search it for each job would hold up Redis. */
const LONG = 5_000
/** So many places are searched in one script at most. */
const STEPS_MAX = 200_000

const agreed = Object.entries(MENDINGS).flatMap(([record, jobs]) =>
  Object.entries(jobs).flatMap(([job, mending]) => (mending === null ? [`['${record}/${job}']=true`] : [])),
)

const CLASSES = `
local steps = 0
local function jobClass(queue, id)
  local job = queue .. id
  if redis.call('EXISTS', job .. ':lock') == 1 then return 'locked' end
  if redis.call('HEXISTS', job, 'data') == 0 then return redis.call('EXISTS', job) == 1 and 'hollow' or 'none' end
  if redis.call('LPOS', queue .. 'active', id) then return 'unlocked' end
  if redis.call('ZSCORE', queue .. 'delayed', id) or redis.call('ZSCORE', queue .. 'prioritized', id) then return 'waiting' end
  local length = redis.call('LLEN', queue .. 'wait')
  if length > ${LONG} then return 'waiting' end
  steps = steps + length
  return redis.call('LPOS', queue .. 'wait', id) and 'waiting' or 'adrift'
end`

// ARGV: record keys' beginning, queues' beginning, then queue (or '') and id of each pair. Answers how many it came to, how many
// queues were missing in the due index, and the pairs that disagree: queue, id, record's class, job's class, record's text,
// whether it is listed.
export const LOOK = alsoWhenFull(`${CLASSES}
local agreed = { ${agreed.join(', ')} }
local function prefixOf(queue) return ARGV[2] .. string.gsub(queue, '/', ':', 1) .. ':' end
local function recordClass(key)
  local head = redis.call('GETRANGE', key, 0, 511)
  if head == '' then return 'none' end
  if string.sub(head, 1, 1) == '@' then return 'accepted', string.sub(head, 2) end
  local state = string.match(head, '"state":"([%a-]+)"')
  if state ~= 'queued' and state ~= 'running' then return 'ended' end
  local namespace, name = string.match(head, '"namespace":"([^"]*)"'), string.match(head, '"function":"([^"]*)"')
  if not namespace or not name then return 'ended' end
  return state, namespace .. '/' .. name
end
local asked, missing, found, reached = {}, 0, {}, 0
for i = 3, #ARGV, 2 do
  local id, key = ARGV[i + 1], ARGV[1] .. ARGV[i + 1]
  local record, home = recordClass(key)
  local queue = ARGV[i] ~= '' and ARGV[i] or home
  if queue then
    local job = jobClass(prefixOf(queue), id)
    if ARGV[i] == '' and job == 'none' and record ~= 'accepted' then
      -- Its record does not say in which of the function's queues it is.
      local other = jobClass(prefixOf(queue .. '~'), id)
      if other ~= 'none' then queue, job = queue .. '~', other end
    end
    if (job == 'waiting' or job == 'unlocked') and not asked[queue] then
      asked[queue] = true
      if not redis.call('ZSCORE', KEYS[1], queue) then
        redis.call('ZADD', KEYS[1], 0, queue)
        missing = missing + 1
      end
    end
    if not agreed[record .. '/' .. job] then
      local listed = redis.call('ZSCORE', KEYS[2] .. string.gsub(queue, '/.*', ''), id) and '1' or ''
      found[#found + 1] = { queue, id, record, job, redis.call('GET', key) or '', listed }
    end
  end
  reached = reached + 1
  if steps > ${STEPS_MAX} then break end
end
return { reached, missing, found }`)

// One pair, only while it is as it was seen; or, with a token, while that holds the job's lock.
// KEYS: record, list of records, due index, attempts, dead letter, dead letters of the function.
// ARGV: id, queue's beginning, record's text as seen, job's class as seen, token or '', mending, queue, new record or '', ms it is
// kept (0: as before), its place in the list or '', where the job goes, when, whether a worker died under it, failed attempt, dead
// letter, its place, channel of ends.
export const MEND = alsoWhenFull(`${CLASSES}${PLACE_JOB}${DROP_JOB}
local id, queue, mending = ARGV[1], ARGV[2], ARGV[6]
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[3] then return 0 end
if ARGV[5] ~= '' then
  if redis.call('GET', queue .. id .. ':lock') ~= ARGV[5] then return 0 end
elseif jobClass(queue, id) ~= ARGV[4] then return 0 end
if mending == 'end' or mending == 'drop' then dropJob(queue, id) end
if mending == 'requeue' then
  redis.call('DEL', queue .. id .. ':lock')
  redis.call('LREM', queue .. 'active', 0, id)
  redis.call('SREM', queue .. 'stalled', id)
  if ARGV[13] == '1' and redis.call('HINCRBY', queue .. id, 'stc', 1) > ${MAX_STALLS} then
    redis.call('HSET', queue .. id, 'defa', 'stalled')
  end
  place(queue, id, ARGV[11], tonumber(ARGV[12]), tonumber(redis.call('HGET', queue .. id, 'priority')) or 0)
end
if mending == 'requeue' or mending == 'record' then redis.call('ZADD', KEYS[3], 'LT', ARGV[12], ARGV[7]) end
if ARGV[8] ~= '' then
  if ARGV[9] == '0' then redis.call('SET', KEYS[1], ARGV[8], 'KEEPTTL') else redis.call('SET', KEYS[1], ARGV[8], 'PX', ARGV[9]) end
end
if ARGV[10] ~= '' then redis.call('ZADD', KEYS[2], 'NX', ARGV[10], id) end
if ARGV[14] ~= '' then
  redis.call('RPUSH', KEYS[4], ARGV[14])
  redis.call('PEXPIRE', KEYS[4], ARGV[9])
end
if ARGV[15] ~= '' then
  redis.call('SET', KEYS[5], ARGV[15], 'NX', 'PX', ARGV[9])
  redis.call('ZADD', KEYS[6], ARGV[16], id)
end
if mending == 'end' then redis.call('PUBLISH', ARGV[17], id) end
return 1`)
