// Test suites: one project each, so that they can run apart (`vitest run --project unit`).
import { defineConfig } from 'vitest/config'
import { timeScale } from './test/support/time-scale.ts'

const suite = (name: string, include: string[], serial: boolean, timeoutMs: number) => ({
  test: {
    name,
    include,
    testTimeout: timeoutMs * timeScale,
    hookTimeout: timeoutMs * timeScale,
    pool: 'forks' as const,
    fileParallelism: !serial,
  },
})

const kernelTest = (name: string) => `test/kernel/${name}.test.ts`

export default defineConfig({
  test: {
    projects: [
      suite('unit', ['test/unit/**/*.test.ts', 'test/*.test.ts'], false, 20_000),
      suite('contract', ['test/contract/**/*.test.ts'], true, 60_000),
      suite('kernel', ['test/kernel/**/*.test.ts'], true, 60_000),
      suite('e2e', ['test/e2e/**/*.test.ts'], true, 180_000),
      suite('attack', ['test/attack/**/*.test.ts'], true, 120_000),
      // Runs inside the guest of `npm run test:v2`; on the host only on demand.
      suite(
        'v2',
        [
          'test/v2/*.test.ts',
          ...['cgroup*', 'sandbox*', 'limits-*', 'freezer', 'metering', 'host-capacity'].map(kernelTest),
        ],
        true,
        60_000,
      ),
    ],
  },
})
