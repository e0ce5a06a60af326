// The keys of `fn.json` as data: ranges, defaults, doc lines (forms: config-forms.ts); and the JSON schema editors use. No other file
// knows a range or a default of a function's configuration.
import { z } from 'zod'
import {
  egressRuleText,
  formatBytes,
  LIMITS,
  MOST_LIMIT_CHARS,
  MOST_LIMIT_ENTRIES,
  parseEgressRule,
  UnitError,
} from '../../runtime/api.ts'
import type { FunctionConfig } from '../api.ts'
import { bool, duration, oneOf, shown, size, tooLong, whole } from './config-forms.ts'
import { parseDestination } from './destinations.ts'
import { isDnsLabel } from './names.ts'
import { isNetwork } from './network-text.ts'
import { isTakenByObjects } from './plain-names.ts'
import { conflictOf, MOST_VOLUMES, parseVolume } from './volume-text.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const MIB = 1024 ** 2

/** What holds when nothing is said. */
export const CONFIG_DEFAULTS = {
  runtime: 'node24',
  form: 'web',
  timeoutMs: 30 * SECOND,
  initTimeoutMs: 10 * SECOND,
  concurrency: 100,
  sandboxConcurrency: 1,
  minWarm: 0,
  network: 'none',
  retryAttempts: 3,
  public: true,
} as const satisfies Partial<FunctionConfig>

/** Longest names and lists in one text; what they name has closer bounds of its own. */
const MOST_NAME_CHARS = 256
const MOST_TEXT_CHARS = 8192
const MOST_DESTINATION_CHARS = 2048

// Not __proto__: a key that an object takes for something else.
const ENV_NAME = /^(?!__proto__$)[A-Za-z_][A-Za-z0-9_]*$/
const ENV_MAX_BYTES = 128 * 1024
const ENV_MAX_ENTRIES = 1000
const ENV_NAME_CHARS = 256
const env = z
  .custom<Readonly<Record<string, string>>>(
    (value) => value !== null && typeof value === 'object' && !Array.isArray(value),
    {
      error: (issue) => `expected an object of texts, got ${shown(issue.input)}`,
    },
  )
  .check((context) => {
    let bytes = 0
    const entries = Object.entries(context.value)
    if (entries.length > ENV_MAX_ENTRIES) {
      const message = `expected at most ${ENV_MAX_ENTRIES} variables, got ${entries.length}`
      context.issues.push({ code: 'custom', message, input: context.value, path: [] })
    }
    for (const [name, value] of entries.slice(0, ENV_MAX_ENTRIES)) {
      const problem = (message: string) =>
        context.issues.push({ code: 'custom', message, input: context.value, path: [name.slice(0, 80)] })
      if (name.length > ENV_NAME_CHARS)
        problem(`expected a name of at most ${ENV_NAME_CHARS} characters, got ${name.length}`)
      if (!ENV_NAME.test(name)) problem('expected a name of letters, digits and _, not starting with a digit')
      else if (isTakenByObjects(name)) problem('every object has one of this name; take another')
      if (typeof value !== 'string') problem(`expected a text, got ${shown(value)}`)
      else if (value.includes('\0')) problem('a NUL byte cannot be in the environment')
      bytes += name.length + (typeof value === 'string' ? Buffer.byteLength(value) : 0)
    }
    if (bytes > ENV_MAX_BYTES) {
      const message = `expected at most ${formatBytes(ENV_MAX_BYTES)} together, got ${bytes} bytes`
      context.issues.push({ code: 'custom', message, input: context.value, path: [] })
    }
  })

const MOST_SECRETS = 64
const secrets = z
  .array(
    z
      .string({ error: (issue) => `expected a name, got ${shown(issue.input)}` })
      .max(128, { error: 'expected a name of at most 128 characters' })
      .regex(ENV_NAME, {
        error: (issue) =>
          `expected a name of letters, digits and _, not starting with a digit, got ${shown(issue.input)}`,
      })
      .refine((name) => !isTakenByObjects(name), { error: 'every object has one of this name; take another' }),
    { error: (issue) => `expected a list of names, got ${shown(issue.input)}` },
  )
  .max(MOST_SECRETS, { error: `expected at most ${MOST_SECRETS} secrets` })
  .transform((names) => [...new Set(names)].sort())

const volume = z
  .string({ error: (issue) => `expected a text, got ${shown(issue.input)}` })
  .max(MOST_TEXT_CHARS, { error: tooLong })
  .transform((text, context) => {
    try {
      return parseVolume(text)
    } catch (error) {
      if (!(error instanceof UnitError)) throw error
      context.addIssue(error.message)
      return z.NEVER
    }
  })
const volumes = z
  .array(volume, { error: (issue) => `expected a list such as ["uploads:/data"], got ${shown(issue.input)}` })
  .max(MOST_VOLUMES, { error: `expected at most ${MOST_VOLUMES} volumes` })
  .check((context) => {
    const conflict = conflictOf(context.value)
    if (conflict !== null) context.issues.push({ code: 'custom', message: conflict, input: context.value, path: [] })
  })

const network = z
  .string({ error: (issue) => `expected "none", "bridge", "host" or the name of a network, got ${shown(issue.input)}` })
  .max(MOST_NAME_CHARS, { error: tooLong })
  .refine(isNetwork, {
    error: (issue) =>
      `expected "none", "bridge", "host" or the name of a network (a DNS label), got ${shown(issue.input)}`,
  })

const MOST_HOSTS = 64
const allowHost = z
  .string({ error: (issue) => `expected a text, got ${shown(issue.input)}` })
  .max(MOST_NAME_CHARS + 8, { error: tooLong })
  .transform((text, context) => {
    try {
      return egressRuleText(parseEgressRule(text))
    } catch (error) {
      context.addIssue((error as Error).message)
      return z.NEVER
    }
  })
const allowHosts = z
  .array(allowHost, { error: (issue) => `expected a list such as ["api.example.com"], got ${shown(issue.input)}` })
  .max(MOST_HOSTS, { error: `expected at most ${MOST_HOSTS} entries` })
  .transform((hosts) => [...new Set(hosts)])

/** What may be tried again. */
const RETRIED = ['crash', 'oom', 'timeout', '5xx', '429', '4xx'] as const

/** A function or URL. */
const destination = z
  .string({ error: (issue) => `expected a function or URL, got ${shown(issue.input)}` })
  .max(MOST_DESTINATION_CHARS, { error: tooLong })
  .check((context) => {
    try {
      parseDestination(context.value)
    } catch (error) {
      context.issues.push({ code: 'custom', message: (error as Error).message, input: context.value, path: [] })
    }
  })

const limitObject = z.custom<Readonly<Record<string, unknown>>>()

const MOST_PATTERNS = 100
/** Used where the code is bundled; the platform keeps nothing of it. */
function patterns(example: string, mostChars: number) {
  return z
    .array(
      z
        .string({ error: (issue) => `expected a text, got ${shown(issue.input)}` })
        .min(1)
        .max(mostChars, { error: `expected at most ${mostChars} characters` }),
      { error: (issue) => `expected a list such as ${example}, got ${shown(issue.input)}` },
    )
    .max(MOST_PATTERNS, { error: `expected at most ${MOST_PATTERNS} entries` })
}

/** The manifest; `limits` and `maxLimits` are parsed by the limits table, not here. */
export const configShape = z.strictObject({
  name: z
    .string({ error: (issue) => `expected a name, got ${shown(issue.input)}` })
    .max(MOST_NAME_CHARS, { error: tooLong })
    .refine(isDnsLabel, { error: (issue) => `expected a DNS label (a-z, 0-9, -), got ${shown(issue.input)}` })
    .optional()
    .describe('name of the function; a DNS label'),
  runtime: oneOf('node24').optional().describe('what runs the code'),
  entry: z
    .string({ error: (issue) => `expected a file name, got ${shown(issue.input)}` })
    .min(1, { error: 'expected a file name' })
    .max(4096)
    .optional()
    .describe('entry file; index.ts in a folder'),
  form: oneOf('web', 'lambda').optional().describe('how the entry exports its handler; found out at deploy'),
  files: patterns('["public/**"]', 4096)
    .optional()
    .describe(
      'files that ship with the code, read-only: patterns below the folder; those the code names ship by themselves',
    ),
  external: patterns('["knex", "@nestjs/*"]', 256)
    .optional()
    .describe('packages that are not bundled and ship as they are installed'),
  timeout: duration(1, 15 * MINUTE)
    .optional()
    .describe('of a call, while its own code runs'),
  initTimeout: duration(1, 15 * MINUTE)
    .optional()
    .describe('of loading the code'),
  concurrency: whole(1, 10_000).optional().describe('calls at once, over all sandboxes'),
  sandboxConcurrency: whole(1, 1_000).optional().describe('calls at once in one sandbox'),
  minWarm: whole(0, 1_000).optional().describe('sandboxes kept though nobody calls'),
  keepAlive: duration(0, 24 * HOUR)
    .optional()
    .describe('idle time after which a sandbox goes'),
  freezeGrace: duration(0, HOUR).optional().describe('idle time after which a sandbox is frozen'),
  isolation: oneOf('function', 'call')
    .optional()
    .describe('"call": a fresh sandbox for every call; "function": calls of one version use the same ones again'),
  leftovers: oneOf('freeze', 'kill')
    .optional()
    .describe('processes and timers after the response: "freeze" until the next call, or "kill" before it'),
  env: env.optional().describe('environment of the code'),
  network: network.optional().describe('"none", "bridge", "host", or a network of the namespace (fn network create)'),
  allowHosts: allowHosts
    .optional()
    .describe('all it may reach: "api.example.com", "*.example.com:443", "10.1.2.3:5432"; needs a network'),
  writableRoot: size(MIB, 64 * 1024 * MIB)
    .optional()
    .describe('size of a copy-on-write root in memory; without it the root is read-only'),
  limits: limitObject.optional().describe('limits of each call and sandbox'),
  maxLimits: limitObject.optional().describe('up to what a call may raise a limit'),
  retry: z
    .strictObject(
      {
        attempts: whole(1, 100).optional().describe('runs at most, of an asynchronous call'),
        on: z
          .array(oneOf(...RETRIED), {
            error: (issue) => `expected a list such as ["crash", "timeout"], got ${shown(issue.input)}`,
          })
          .max(RETRIED.length, { error: `expected at most ${RETRIED.length} entries, each once` })
          .optional()
          .describe('what is tried again; what throws is a 5xx'),
        backoff: duration(1, HOUR).optional().describe('before the second run; doubled before each later one'),
        maxBackoff: duration(1, 24 * HOUR)
          .optional()
          .describe('highest wait between two runs'),
        maxAge: duration(1, 7 * 24 * HOUR)
          .optional()
          .describe('no run begins later than this after acceptance'),
      },
      {
        error: (issue) =>
          issue.code === 'unrecognized_keys' ? undefined : `expected {"attempts": 3} or 3, got ${shown(issue.input)}`,
      },
    )
    .optional()
    .describe('of asynchronous calls that fail'),
  rate: z
    .strictObject(
      {
        calls: whole(1, 1_000_000).describe('asynchronous calls begun at most'),
        per: duration(10, 24 * HOUR).describe('in this time'),
      },
      {
        error: (issue) =>
          issue.code === 'unrecognized_keys'
            ? undefined
            : `expected {"calls": 10, "per": "1s"}, got ${shown(issue.input)}`,
      },
    )
    .optional()
    .describe('how many asynchronous calls may begin in a time'),
  secrets: secrets.optional().describe('names of secrets (fn secret set) that become variables of the environment'),
  volumes: volumes
    .optional()
    .describe('"NAME:/path[:ro|rw]", "/host/folder:/path[:ro|rw]" or "tmpfs:/path:size=64m"; shared between functions'),
  onSuccess: destination.optional().describe('function or URL told of asynchronous calls that succeeded'),
  onFailure: destination.optional().describe('function or URL told of asynchronous calls that failed for good'),
  public: bool.optional().describe('whether anybody may call it over HTTP without a token'),
})

/** Keys within keys, for suggestions. */
export const INNER_KEYS: Readonly<Record<string, readonly string[]>> = {
  retry: ['attempts', 'on', 'backoff', 'maxBackoff', 'maxAge'],
  rate: ['calls', 'per'],
}

/** Every key `fn.json` may have now. */
export const configKeys: ReadonlySet<string> = new Set(Object.keys(configShape.shape))

/** JSON schema of `fn.json`, for editors. */
export function functionConfigSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(configShape, { io: 'input', unrepresentable: 'any' }) as {
    properties: Record<string, Record<string, unknown>>
  }
  const limit = Object.fromEntries(
    LIMITS.map((definition) => {
      const value = {
        type: ['string', 'number'],
        maxLength: MOST_LIMIT_CHARS,
        minimum: -1,
        maximum: Number.MAX_SAFE_INTEGER,
      }
      const description = `${definition.doc} (${definition.unit})`
      return [
        definition.name,
        definition.repeated
          ? { description, type: 'array', items: value, maxItems: MOST_LIMIT_ENTRIES }
          : { description, ...value },
      ]
    }),
  )
  for (const key of ['limits', 'maxLimits']) {
    schema.properties[key] = {
      ...schema.properties[key],
      type: 'object',
      properties: limit,
      additionalProperties: false,
    }
  }
  schema.properties.retry = { anyOf: [{ type: 'integer', minimum: 1, maximum: 100 }, schema.properties.retry ?? {}] }
  schema.properties.env = {
    ...schema.properties.env,
    type: 'object',
    propertyNames: { type: 'string', maxLength: ENV_NAME_CHARS, pattern: ENV_NAME.source },
    maxProperties: ENV_MAX_ENTRIES,
    additionalProperties: { type: 'string', maxLength: ENV_MAX_BYTES },
  }
  return {
    ...schema,
    title: 'fn.json',
    properties: { $schema: { type: 'string', maxLength: 2048 }, ...schema.properties },
  }
}
