// `fn.json` (flags already merged in) → FunctionConfig: every key, its range, its default; all problems at once.

import type { z } from 'zod'
import {
  DEFAULT_LIMITS,
  isAbove,
  LIMITS,
  LimitError,
  type LimitName,
  type Limits,
  limitText,
  mergeLimits,
  parseLimit,
} from '../../runtime/api.ts'
import type { FunctionConfig, RetryPolicy } from '../api.ts'
import { RETRY_DEFAULTS } from '../queue/retry-policy.ts'
import { RegistryError } from './api.ts'
import { bootReason, nodeOptionsProblems } from './boot-variables.ts'
import { CONFIG_DEFAULTS, configKeys, configShape, INNER_KEYS } from './config-shape.ts'
import { checkFunctionName } from './names.ts'
import { networkModeOf } from './network-text.ts'
import { suggest } from './suggest.ts'

/** `name` is the name deployed under and wins over the manifest's own. Throws RegistryError CONFIG_INVALID with all `problems`,
 *  or NAME_INVALID. */
export function parseFunctionConfig(manifest: unknown, name: string): FunctionConfig {
  checkFunctionName(name)
  if (manifest === null || typeof manifest !== 'object' || Array.isArray(manifest)) {
    throw invalid([`expected an object of settings, got ${describe(manifest)}`])
  }
  const problems: string[] = []
  const { limits: ownLimits, maxLimits: highest, ...rest } = knownSettings(manifest, problems)
  if (typeof rest.retry === 'number') rest.retry = { attempts: rest.retry }
  const shape = configShape.omit({ limits: true, maxLimits: true }).safeParse(rest)
  if (!shape.success) problems.push(...shape.error.issues.flatMap(shapeProblems))
  const limits = parseOwnLimits(ownLimits, problems)
  const maxLimits = parseLimitObject('maxLimits', highest, problems)
  const fixed = LIMITS.filter((limit) => !limit.perCall && limit.name in maxLimits)
  for (const { name: limit } of fixed)
    problems.push(`maxLimits.${limit}: is fixed when a sandbox is created and cannot change per call`)
  const parsed = shape.success ? shape.data : {}
  problems.push(...networkProblems(parsed, limits, maxLimits), ...contradictions(parsed))
  if (problems.length > 0) throw invalid(problems)
  return configOf(name, parsed, limits, maxLimits)
}

/** Problems that are reported, and characters of each. */
const MOST_PROBLEMS = 20
const MOST_PROBLEM_CHARS = 1000
/** Keys of one object; above it only their number is reported. */
const MOST_KEYS = 256

type Parsed = Partial<Omit<z.output<typeof configShape>, 'limits' | 'maxLimits'>>

/** The settings there are; the others become problems. */
function knownSettings(manifest: object, problems: string[]): Record<string, unknown> {
  const known: Record<string, unknown> = {}
  const entries = Object.entries(manifest)
  if (entries.length > MOST_KEYS) throw invalid([`expected at most ${MOST_KEYS} keys, got ${entries.length}`])
  for (const [key, value] of entries) {
    if (configKeys.has(key)) known[key] = value
    else if (LIMITS.some((limit) => limit.name === key))
      problems.push(`unknown key ${key}; did you mean limits.${key}?`)
    else if (key !== '$schema') problems.push(unknownKey(key, [...configKeys]))
  }
  return known
}

function shapeProblems(issue: z.core.$ZodIssue): string[] {
  const at = issue.path.join('.')
  if (issue.code !== 'unrecognized_keys') return [`${at}: ${issue.message}`]
  return issue.keys.slice(0, MOST_PROBLEMS).map((key) => unknownKey(`${at}.${key.slice(0, 80)}`, INNER_KEYS[at] ?? []))
}

/** Settings that are right by themselves and do not go together. */
function contradictions({ sandboxConcurrency = 1, isolation, leftovers, secrets = [], env = {} }: Parsed): string[] {
  const problems: string[] = []
  const alone = 'needs calls one at a time in a sandbox: leave sandboxConcurrency at 1'
  if (sandboxConcurrency > 1 && isolation === 'call') problems.push(`isolation: "call" ${alone}`)
  if (sandboxConcurrency > 1 && leftovers === 'kill') problems.push(`leftovers: "kill" ${alone}`)
  for (const key of secrets.filter((one) => Object.hasOwn(env, one))) problems.push(`secrets: ${key} is in env as well`)
  for (const key of secrets.filter((one) => bootReason({ [one]: '' }) !== null))
    problems.push(`secrets: ${key} is read when the process starts, before it has secrets; set it in env`)
  problems.push(...nodeOptionsProblems(env.NODE_OPTIONS))
  return problems
}

function configOf(name: string, parsed: Parsed, limits: Limits, maxLimits: Partial<Limits>): FunctionConfig {
  return {
    ...CONFIG_DEFAULTS,
    name,
    entry: parsed.entry ?? `${name}.ts`,
    form: parsed.form ?? CONFIG_DEFAULTS.form,
    timeoutMs: parsed.timeout ?? CONFIG_DEFAULTS.timeoutMs,
    initTimeoutMs: parsed.initTimeout ?? CONFIG_DEFAULTS.initTimeoutMs,
    concurrency: parsed.concurrency ?? CONFIG_DEFAULTS.concurrency,
    sandboxConcurrency: parsed.sandboxConcurrency ?? CONFIG_DEFAULTS.sandboxConcurrency,
    minWarm: parsed.minWarm ?? CONFIG_DEFAULTS.minWarm,
    keepAliveMs: parsed.keepAlive ?? null,
    freezeGraceMs: parsed.freezeGrace ?? null,
    env: parsed.env ?? {},
    writableRootBytes: parsed.writableRoot ?? null,
    limits,
    maxLimits,
    retryAttempts: parsed.retry?.attempts ?? CONFIG_DEFAULTS.retryAttempts,
    ...retryOf(parsed.retry),
    ...(parsed.rate === undefined ? {} : { rate: { calls: parsed.rate.calls, perMs: parsed.rate.per } }),
    ...(parsed.onSuccess === undefined ? {} : { onSuccess: parsed.onSuccess }),
    ...(parsed.onFailure === undefined ? {} : { onFailure: parsed.onFailure }),
    public: parsed.public ?? CONFIG_DEFAULTS.public,
    // ORDER: absent when there are none, so that versions from before these keys existed are still the same.
    ...((parsed.volumes?.length ?? 0) > 0 ? { volumes: parsed.volumes! } : {}),
    ...(parsed.network === undefined ? {} : { network: parsed.network }),
    ...(parsed.allowHosts === undefined ? {} : { allowHosts: parsed.allowHosts }),
    ...((parsed.secrets?.length ?? 0) > 0 ? { secrets: parsed.secrets! } : {}),
    ...(parsed.isolation === 'call' ? { isolation: parsed.isolation } : {}),
    ...(parsed.leftovers === 'kill' ? { leftovers: parsed.leftovers } : {}),
  }
}

/** What a function says of its retries, over the platform's; nothing when it says nothing but how many. */
function retryOf(retry: z.output<typeof configShape>['retry']): { retry?: RetryPolicy } {
  if (retry === undefined || Object.keys(retry).every((key) => key === 'attempts')) return {}
  const backoffMs = retry.backoff ?? RETRY_DEFAULTS.backoffMs
  return {
    retry: {
      on: retry.on ?? RETRY_DEFAULTS.on,
      backoffMs,
      maxBackoffMs: Math.max(backoffMs, retry.maxBackoff ?? RETRY_DEFAULTS.maxBackoffMs),
      maxAgeMs: retry.maxAge ?? RETRY_DEFAULTS.maxAgeMs,
    },
  }
}

/** Maxima below the function's own limits, as they will be kept: a call that lowers one would be refused for what a call that
 *  asks for nothing has. Throws RegistryError CONFIG_INVALID with all of them. */
export function expectMaxima(limits: Limits, maxLimits: Partial<Limits>): void {
  const low = (Object.keys(maxLimits) as LimitName[]).filter((name) => {
    const own = limits[name]
    return own !== null && !Array.isArray(own) && isAbove(name, own, maxLimits[name])
  })
  if (low.length === 0) return
  const problems = low.map((name) => {
    const [own, max] = [limitText(name, limits[name]), limitText(name, maxLimits[name])]
    return `maxLimits.${name}: expected at least the function's own limit ${own}, got ${max}`
  })
  throw invalid(problems)
}

/** What is said of a network the function does not have, or that has no filter. */
function networkProblems(
  {
    network = CONFIG_DEFAULTS.network,
    allowHosts,
  }: { network?: string | undefined; allowHosts?: readonly string[] | undefined },
  limits: Limits,
  maxLimits: Partial<Limits>,
): string[] {
  if (networkModeOf(network) === 'bridge') return []
  const why = network === 'host' ? 'the host’s own network is not filtered' : 'the function has no network'
  const way = 'say network "bridge", or the name of one, too'
  const rates = (['networkRxBps', 'networkTxBps'] as const).filter(
    (name) => limits[name] !== null || maxLimits[name] != null,
  )
  return [
    ...(allowHosts === undefined ? [] : [`allowHosts: ${why}; ${way}`]),
    ...rates.map((name) => `limits.${name}: ${why}; ${way}`),
  ]
}

function parseOwnLimits(value: unknown, problems: string[]): Limits {
  const asked = parseLimitObject('limits', value, problems)
  try {
    return mergeLimits(DEFAULT_LIMITS, asked)
  } catch (error) {
    if (!(error instanceof LimitError)) throw error
    problems.push(`limits.${error.message}`)
    return DEFAULT_LIMITS
  }
}

function parseLimitObject(key: string, value: unknown, problems: string[]): Partial<Limits> {
  if (value === undefined) return {}
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    problems.push(`${key}: expected an object of limits, got ${describe(value)}`)
    return {}
  }
  const limits: Record<string, unknown> = {}
  const { length } = Object.keys(value)
  if (length > MOST_KEYS) throw invalid([`${key}: expected at most ${MOST_KEYS} limits, got ${length}`])
  const names = LIMITS.map((limit) => limit.name as string)
  for (const [name, text] of Object.entries(value)) {
    if (!names.includes(name)) {
      problems.push(
        unknownKey(
          `${key}.${name}`,
          names.map((known) => `${key}.${known}`),
        ),
      )
      continue
    }
    try {
      limits[name] = parseLimit(name, text)
    } catch (error) {
      if (!(error instanceof LimitError)) throw error
      problems.push(`${key}.${error.message}`)
    }
  }
  return limits as Partial<Limits>
}

function unknownKey(given: string, known: readonly string[]): string {
  const key = given.slice(0, 160)
  // The last part is what was mistyped: a long common path must not make far words look near.
  const part = (path: string) => path.slice(path.lastIndexOf('.') + 1)
  const near = suggest(part(key), known.map(part))
  return `unknown key ${key}${near === null ? '' : `; did you mean ${near}?`}`
}

function invalid(problems: readonly string[]): RegistryError {
  const count = problems.length === 1 ? '' : `${problems.length} problems: `
  const told = problems.slice(0, MOST_PROBLEMS).map((problem) => problem.slice(0, MOST_PROBLEM_CHARS))
  const more = problems.length > told.length ? `; and ${problems.length - told.length} more` : ''
  return new RegistryError('CONFIG_INVALID', `the configuration is not valid: ${count}${told.join('; ')}${more}`, {
    problems: told,
  })
}

function describe(value: unknown): string {
  return value === null
    ? 'null'
    : Array.isArray(value)
      ? 'a list'
      : typeof value === 'object'
        ? 'an object'
        : JSON.stringify(value)
}
