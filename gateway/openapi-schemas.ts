// Owns the JSON schemas of what the control API answers, for the OpenAPI document. Shapes only; the types are worker/api.ts's.
import { QUOTAS } from '../worker/registry/quota-table.ts'
import { ERRORS } from './errors.ts'

const text = { type: 'string' } as const
const number = { type: 'number' } as const
const whole = { type: 'integer' } as const
const time = { type: 'string', format: 'date-time' } as const
const maybe = (schema: object) => ({ anyOf: [schema, { type: 'null' }] })
const anything = { type: 'object' } as const

function object(properties: Readonly<Record<string, object>>, optional: readonly string[] = []) {
  const required = Object.keys(properties).filter((name) => !optional.includes(name))
  return { type: 'object', properties, required }
}

const version = { version: whole, image: text, createdAt: time, config: anything }
const alias = { weights: { type: 'object', additionalProperties: whole } }
const states = { enum: ['queued', 'running', 'succeeded', 'failed', 'timed-out', 'cancelled', 'expired'] }

const names = { type: 'array', items: text }
const token = {
  id: text,
  namespace: text,
  name: text,
  scopes: names,
  createdAt: time,
  expiresAt: maybe(time),
  rate: maybe(object({ count: whole, windowMs: whole })),
}

const namespaceSummary = { name: text, functions: whole, secrets: whole, tokens: whole, sandboxes: whole }
const quota = object({
  unit: { enum: ['number', 'bytes'] },
  kind: { enum: ['held', 'rate', 'atOnce'] },
  bound: maybe(whole),
  inUse: maybe(whole),
  source: { enum: ['namespace', 'setting', 'default'] },
})
const quotas = object(Object.fromEntries(QUOTAS.map(({ key }) => [key, quota])))

export const API_SCHEMAS: Readonly<Record<string, object>> = Object.freeze({
  Problem: object(
    {
      type: text,
      title: text,
      status: whole,
      detail: text,
      code: { enum: Object.keys(ERRORS) },
      component: { enum: ['gateway', 'queue', 'worker', 'sandbox', 'function'] },
      invocationId: text,
      stack: text,
      problems: { type: 'array', items: text },
      data: anything,
      quota: text,
      bound: whole,
      inUse: whole,
    },
    ['invocationId', 'stack', 'problems', 'data', 'quota', 'bound', 'inUse'],
  ),
  Version: object(version),
  Deployed: object({ namespace: text, name: text, ...version, created: { type: 'boolean' }, url: text }),
  Alias: object({ alias: text, ...alias }),
  Worker: object({
    id: text,
    role: { enum: ['worker', 'platform'] },
    hostName: text,
    pid: whole,
    version: text,
    startedAt: time,
    cores: whole,
    memoryBytes: whole,
    load: maybe(anything),
  }),
  Function: object(
    {
      namespace: text,
      name: text,
      createdAt: time,
      updatedAt: time,
      latest: maybe(whole),
      versions: { type: 'array', items: { $ref: '#/components/schemas/Version' } },
      aliases: { type: 'object', additionalProperties: object(alias) },
      url: text,
      starts: maybe(object({ version: whole, from: { enum: ['stem', 'cold'] }, reason: maybe(text) })),
      queue: maybe({ $ref: '#/components/schemas/QueueState' }),
    },
    ['starts', 'queue'],
  ),
  Accepted: object({ id: text, state: text, location: text }),
  Invocation: object(
    {
      id: text,
      namespace: text,
      function: text,
      version: whole,
      state: states,
      attempt: whole,
      start: maybe({ enum: ['cold', 'stem', 'thawed', 'warm'] }),
      status: maybe(whole),
      error: maybe(anything),
      createdAt: time,
      startedAt: maybe(time),
      endedAt: maybe(time),
      queueMs: number,
      startMs: number,
      thawMs: number,
      initMs: number,
      runMs: number,
      limits: anything,
      metering: maybe(anything),
      afterAnswer: anything,
    },
    ['afterAnswer'],
  ),
  DeadLetter: object({
    id: text,
    namespace: text,
    function: text,
    version: whole,
    state: { enum: ['failed', 'timed-out'] },
    method: maybe(text),
    target: maybe(text),
    bodyBytes: whole,
    createdAt: time,
    diedAt: time,
    attempts: { type: 'array', items: anything },
  }),
  QueueState: object({
    waiting: whole,
    delayed: whole,
    active: whole,
    paused: { type: 'boolean' },
    deadLetters: whole,
  }),
  Count: object({ count: whole }),
  WebhookSecret: object({ secret: text, previous: maybe(text), previousUntil: maybe(time) }),
  Delivery: object({
    id: text,
    invocation: text,
    kind: { enum: ['onSuccess', 'onFailure', 'callback'] },
    destination: text,
    state: { enum: ['pending', 'delivered', 'failed'] },
    tries: whole,
    status: maybe(whole),
    error: maybe(text),
    createdAt: time,
    nextAt: maybe(time),
    endedAt: maybe(time),
  }),
  Schedule: object({
    namespace: text,
    function: text,
    name: text,
    cron: text,
    timeZone: text,
    method: text,
    path: text,
    contentType: maybe(text),
    payload: {},
    missed: { enum: ['run-once', 'skip'] },
    paused: { type: 'boolean' },
    createdAt: time,
    updatedAt: time,
    nextAt: maybe(time),
    next: { type: 'array', items: time },
    last: maybe(object({ scheduledAt: time, firedAt: time, invocation: maybe(text), skipped: maybe(text) })),
  }),
  LogLine: object({
    time,
    namespace: text,
    function: text,
    version: whole,
    invocation: maybe(text),
    sandbox: text,
    stream: { enum: ['stdout', 'stderr', 'report'] },
    line: text,
  }),
  Sandbox: object({
    id: text,
    namespace: text,
    function: text,
    version: whole,
    state: { enum: ['starting', 'stem', 'loading', 'idle', 'frozen', 'busy', 'gone'] },
    pid: whole,
    memoryBytes: whole,
    cpuUs: whole,
    calls: whole,
    inFlight: whole,
    createdAt: time,
    idleSince: maybe(time),
  }),
  Volume: object({
    namespace: text,
    name: text,
    sizeBytes: whole,
    usedBytes: whole,
    createdAt: time,
    functions: names,
  }),
  Network: object({ namespace: text, name: text, createdAt: time, functions: names }),
  Secret: object({ namespace: text, name: text, createdAt: time, updatedAt: time, functions: names }),
  NamespaceSummary: object(namespaceSummary),
  Namespace: object({ ...namespaceSummary, quotas }),
  Quotas: quotas,
  Token: object(token),
  NewToken: object({ ...token, token: text }),
  HostReport: anything,
  Health: object({ status: { const: 'ok' }, version: text }),
  Readiness: object({ ready: { type: 'boolean' }, reason: text, warning: text }, ['reason', 'warning']),
  Setting: object({
    name: text,
    value: text,
    unit: text,
    default: text,
    source: { enum: ['flag', 'environment', 'default'] },
    doc: text,
  }),
})
