import { describe, expect, test } from 'vitest'
import { parseCeilings } from '../../../cli/ceilings.ts'
import { ConfigError, describeConfig, parseConfig } from '../../../cli/config.ts'

const parse = (env: Record<string, string>) => {
  const problems: string[] = []
  return { ceilings: parseCeilings(env, problems), problems }
}

describe('settings of highest limits', () => {
  test('are read like the limits themselves', () => {
    expect(
      parse({ FN_HOST_MAX_MEMORY: '1g', FN_NAMESPACE_MAX_CPUS: '0.5', FN_HOST_MAX_DEVICE_WRITE_BPS: '8m' }),
    ).toEqual({
      problems: [],
      ceilings: [
        { limit: 'memory', value: 1024 ** 3, scope: 'host', source: 'FN_HOST_MAX_MEMORY' },
        {
          limit: 'deviceWriteBps',
          value: [{ device: null, rate: 8 * 1024 ** 2 }],
          scope: 'host',
          source: 'FN_HOST_MAX_DEVICE_WRITE_BPS',
        },
        { limit: 'cpus', value: 0.5, scope: 'namespace', source: 'FN_NAMESPACE_MAX_CPUS' },
      ],
    })
  })

  test('that are malformed, unknown, or above the host’s are problems, all at once', () => {
    const { problems } = parse({
      FN_HOST_MAX_MEMORY: 'lots',
      FN_HOST_MAX_MEMROY: '1g',
      FN_HOST_MAX_PIDS: '10',
      FN_NAMESPACE_MAX_PIDS: '20',
    })
    expect(problems).toHaveLength(3)
    expect(problems[0]).toMatch(/^FN_HOST_MAX_MEMORY: memory: /)
    expect(problems[1]).toMatch(/^FN_HOST_MAX_MEMROY: no such limit; known: .*MEMORY/)
    expect(problems[2]).toBe("FN_NAMESPACE_MAX_PIDS: 20 is above the host's own 10 (FN_HOST_MAX_PIDS)")
    expect(() => parseConfig({ FN_HOST_MAX_MEMORY: 'lots' }, {})).toThrow(ConfigError)
  })

  test('are shown by fn config with value and source', () => {
    const rows = describeConfig({ FN_HOST_MAX_MEMORY: '1g' }, {})
    expect(rows.find((row) => row.name === 'FN_HOST_MAX_MEMORY')).toMatchObject({ value: '1g', source: 'environment' })
    expect(rows.find((row) => row.name === 'FN_NAMESPACE_MAX_SCRATCH')).toMatchObject({ value: '', source: 'default' })
  })
})
