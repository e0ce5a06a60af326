import { describe, expect, test } from 'vitest'
import { ConfigError, describeConfig, parseConfig } from '../../../cli/config.ts'

function problemsOf(env: Record<string, string>): readonly string[] {
  try {
    parseConfig(env, {})
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

describe('a configuration', () => {
  test('of nothing has every default', () => {
    expect(parseConfig({}, {})).toMatchObject({
      listen: { host: '127.0.0.1', port: 8080 },
      url: 'http://127.0.0.1:8080',
      redisUrl: null,
      namespace: 'default',
      log: 'warn',
      behindProxy: false,
      tls: null,
      zramBytes: null,
      resultTtlMs: 24 * 3_600_000,
      stems: 2,
      hosts: [],
      hostNetwork: false,
    })
  })

  test('takes flags over the environment, and the URL from where it listens', () => {
    const env = {
      FN_LISTEN: '[::1]:9000',
      FN_HOSTS: ' A.example , b.example',
      FN_ZRAM: '1m',
      FN_TLS_CERT: '/c',
      FN_TLS_KEY: '/k',
    }
    expect(parseConfig(env, { namespace: 'team' })).toMatchObject({
      ...{ listen: { host: '::1', port: 9000 }, url: 'https://[::1]:9000', namespace: 'team' },
      ...{ hosts: ['a.example', 'b.example'], zramBytes: 1024 ** 2, tls: { certFile: '/c', keyFile: '/k' } },
    })
    expect(parseConfig({ FN_LISTEN: '0.0.0.0:1', FN_BEHIND_PROXY: '1' }, {}).url).toBe('http://127.0.0.1:1')
    expect(parseConfig({ FN_URL: 'https://fn.example/' }, {}).url).toBe('https://fn.example')
  })

  test.each([
    [{ FN_LISTEN: '80x' }, 'FN_LISTEN: expected host:port such as 127.0.0.1:8080, got "80x"'],
    [{ FN_LISTEN: '127.0.0.1:65536' }, 'FN_LISTEN: expected host:port'],
    [{ FN_LISTEN: '0.0.0.0:80' }, '0.0.0.0 is not a loopback address, and whoever reaches it could read the token'],
    [{ FN_TLS_CERT: '/c' }, 'FN_TLS_KEY: FN_TLS_CERT and FN_TLS_KEY go together'],
    [{ FN_TLS_KEY: '/k' }, 'FN_TLS_CERT: FN_TLS_CERT and FN_TLS_KEY go together'],
    [{ REDIS_URL: 'http://x' }, 'REDIS_URL: expected a URL (redis://… or rediss://… or unix://…), got "http://x"'],
    [{ FN_URL: 'nonsense' }, 'FN_URL: expected a URL (http://… or https://…), got "nonsense"'],
    [{ FN_LOG: 'loud' }, 'FN_LOG: expected debug, info, warn, error or silent, got "loud"'],
    [{ FN_NAMESPACE: 'Team' }, 'FN_NAMESPACE: expected a DNS label'],
    [{ FN_ZRAM: '1k' }, 'FN_ZRAM: expected at least 1m, got "1k"'],
    [{ FN_ZRAM: 'much' }, 'FN_ZRAM: '],
    [{ FN_RECLAIM_AFTER: 'soon' }, 'FN_RECLAIM_AFTER: '],
    [{ FN_RESULT_TTL: '30s' }, 'FN_RESULT_TTL: expected a duration from 1m to 720h, got "30s"'],
    [{ FN_STEMS: '101' }, 'FN_STEMS: expected a whole number from 0 to 100, got "101"'],
    [{ FN_STEMS: '-1' }, 'FN_STEMS: expected a whole number'],
    [{ FN_CALLBACK_ALLOW: 'a b' }, 'FN_CALLBACK_ALLOW: '],
    [{ FN_NAME_SERVERS: 'dns.example' }, 'FN_NAME_SERVERS: expected addresses such as 10.0.0.53'],
    [{ FN_VOLUME_ROOTS: '/a/../b' }, 'FN_VOLUME_ROOTS: expected absolute paths other than /'],
    [{ FN_VOLUME_ROOTS: '/' }, 'FN_VOLUME_ROOTS: expected absolute paths other than /'],
  ])('says what is wrong with %j', (env, problem) => {
    expect(problemsOf(env)).toEqual([expect.stringContaining(problem)])
  })

  test('tells all problems at once', () => {
    expect(
      problemsOf({ FN_LOG: 'loud', FN_STEMS: 'x', FN_LISTEN: '', FN_ZRAM: '1k' }).map((line) => line.split(':')[0]),
    ).toEqual(expect.arrayContaining(['FN_LOG', 'FN_STEMS', 'FN_ZRAM']))
  })
})

test('what is shown of a configuration has no secret in it, what is used has', () => {
  const env = {
    FN_TOKEN: 'sesame',
    REDIS_URL: 'redis://thaw:sesame@10.0.0.5:6379/1',
    OTEL_EXPORTER_OTLP_ENDPOINT: 'https://me:sesame@traces.example/',
  }
  const shown = new Map(describeConfig(env, {}).map(({ name, value }) => [name, value]))
  expect([...shown.values()].join(' ')).not.toContain('sesame')
  expect(shown.get('REDIS_URL')).toBe('redis://thaw:***@10.0.0.5:6379/1')
  expect(parseConfig(env, {})).toMatchObject({ token: 'sesame', redisUrl: env.REDIS_URL })
})
