// Test suites: one project each, so that they can run apart (`vitest run --project unit`).
import { defineConfig } from 'vitest/config'

const suite = (name: string, include: string[], serial: boolean, timeoutMs: number) => ({
  test: {
    name,
    include,
    testTimeout: timeoutMs,
    hookTimeout: timeoutMs,
    pool: 'forks' as const,
    fileParallelism: !serial,
  },
})

export default defineConfig({
  test: {
    projects: [
      suite('unit', ['test/unit/**/*.test.ts', 'test/*.test.ts'], false, 20_000),
      suite('contract', ['test/contract/**/*.test.ts'], true, 60_000),
      suite('kernel', ['test/kernel/**/*.test.ts'], true, 60_000),
      suite('e2e', ['test/e2e/**/*.test.ts'], true, 180_000),
    ],
  },
})
