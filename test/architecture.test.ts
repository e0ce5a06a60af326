// The house rules of CONTRIBUTING.md as a table: which import is forbidden and why; doors of third parties; sizes of files.
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, normalize, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FILES = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts'], { cwd: ROOT })
  .toString()
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(ROOT, file)))

interface Import {
  readonly from: string
  /** A path relative to the root, or a package's name. */
  readonly to: string
}

/** Forbidden edge → reason. A rule holds for every import whose ends match and whose `to` is not among the exceptions. */
const FORBIDDEN: readonly { from: RegExp; to: RegExp; except?: RegExp; exceptFrom?: RegExp; reason: string }[] = [
  {
    from: /^runtime\//,
    to: /^(worker|gateway|cli)\//,
    reason: 'imports go down only: runtime/ knows no queue, HTTP or function',
  },
  { from: /^worker\//, to: /^(gateway|cli)\//, reason: 'imports go down only: worker/ knows no HTTP' },
  { from: /^gateway\//, to: /^cli\//, reason: 'imports go down only: gateway/ knows no command line' },
  {
    from: /^worker\//,
    to: /^runtime\//,
    except: /^runtime\/api\.ts$/,
    reason: 'worker/ sees runtime/ through its border alone',
  },
  {
    from: /^gateway\//,
    to: /^worker\//,
    except: /^worker\/(api\.ts$|queue\/api\.ts$|registry\/)/,
    reason: 'gateway/ sees worker/api.ts, worker/queue/api.ts and worker/registry/ alone',
  },
  {
    from: /^gateway\//,
    to: /^runtime\//,
    except: /^runtime\/api\.ts$/,
    reason: 'gateway/ sees runtime/ through its border alone',
  },
  {
    from: /^cli\//,
    exceptFrom: /^cli\/(up|bundle)\//,
    to: /^(runtime|worker|gateway)\//,
    except: /^(runtime\/api\.ts|worker\/api\.ts|worker\/registry\/)/,
    reason: 'commands talk to the platform over HTTP; only cli/up composes it',
  },
  {
    from: /^runtime\/bootstrap\//,
    to: /./,
    except: /^(runtime\/(protocol|bootstrap)\/|runtime\/handler\.ts$|node:)/,
    reason: 'the bootstrap runs inside the sandbox: protocol, handler and node:* only',
  },
  {
    from: /^runtime\/protocol\//,
    to: /./,
    except: /^runtime\/protocol\//,
    reason: 'the wire is shared with the sandbox: no dependencies',
  },
]

/** One door for each third party. */
const DOORS: readonly { package: RegExp; door: RegExp; reason: string }[] = [
  { package: /^(hono|@hono\/)/, door: /^gateway\//, reason: 'hono is the gateway’s' },
  { package: /^bullmq/, door: /^worker\/queue\//, reason: 'bullmq stays inside worker/queue/' },
  { package: /^croner/, door: /^worker\/queue\//, reason: 'schedules are worker/queue/’s' },
  { package: /^ioredis/, door: /^worker\/store\//, reason: 'ioredis stays inside worker/store/' },
  {
    package: /^@vercel\/nft/,
    door: /^cli\/bundle\/file-references\.ts$/,
    reason: 'files that code names are found in one place',
  },
  { package: /^esbuild/, door: /^cli\/bundle\//, reason: 'esbuild stays inside cli/bundle/' },
  {
    package: /^(koffi|node:child_process)/,
    door: /^runtime\/host\//,
    reason: 'the seam to the kernel is runtime/host/',
  },
  { package: /^commander/, door: /^cli\//, reason: 'commander is the CLI’s' },
  { package: /^@opentelemetry\//, door: /^cli\/up\//, reason: 'tracing is injected by cli/up' },
  { package: /^pino/, door: /^cli\/up\//, reason: 'the logger is injected by cli/up' },
  { package: /^prom-client/, door: /^gateway\//, reason: 'metrics are rendered by the gateway' },
]

const PLATFORM = /^(cli|gateway|worker|runtime)\//
const IMPORT =
  /^\s*(?:import|export)\s[^'"]*?from\s+['"]([^'"]+)['"]|^\s*import\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm

function codeOf(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/(^|\s)\/\/.*$/gm, '')
}

function importsOf(file: string): Import[] {
  const text = codeOf(file)
  return [...text.matchAll(IMPORT)].map((match) => {
    const target = match[1] ?? match[2] ?? match[3] ?? ''
    return { from: file, to: target.startsWith('.') ? normalize(join(dirname(file), target)) : target }
  })
}

const imports = FILES.filter((file) => PLATFORM.test(file)).flatMap(importsOf)

describe('imports', () => {
  test('the scanner sees imports at all', () => {
    expect(imports.length).toBeGreaterThan(100)
  })

  test.each(FORBIDDEN)('$reason', (rule) => {
    const broken = imports.filter(
      ({ from, to }) =>
        rule.from.test(from) && !rule.exceptFrom?.test(from) && rule.to.test(to) && !rule.except?.test(to),
    )
    expect(broken.map(({ from, to }) => `${from} → ${to}`)).toEqual([])
  })

  test('files import each other’s values in no circle: types may refer back, what runs may not', () => {
    expect(circleOf(valueImports())).toEqual([])
  })

  test.each(DOORS)('$reason', (rule) => {
    const broken = imports.filter(({ from, to }) => rule.package.test(to) && !rule.door.test(from))
    expect(broken.map(({ from, to }) => `${from} → ${to}`)).toEqual([])
  })

  test('only cli/ reads the environment, traps signals or exits', () => {
    const offenders = FILES.filter(
      (file) => /^(gateway|worker|runtime)\//.test(file) && !/^runtime\/(bootstrap|handler)/.test(file),
    ).filter((file) => /\bprocess\.(env|exit|once|on)\b/.test(codeOf(file)))
    expect(offenders).toEqual([])
  })
})

/** File → files whose values it imports; what is imported as a type alone is not there when the program runs. */
function valueImports(): ReadonlyMap<string, readonly string[]> {
  const pattern = /^(?:import|export)\s+(?!type\b)([^'"]*?)\bfrom\s+'(\.[^']+)'/gm
  const isTypes = (names: string) => /^\{(\s*type\s[^,]*,?)+\s*\}\s*$/.test(names)
  return new Map(
    FILES.filter((file) => PLATFORM.test(file)).map((file) => {
      const found = [...codeOf(file).matchAll(pattern)].filter((match) => !isTypes(match[1] ?? ''))
      return [file, found.map((match) => normalize(join(dirname(file), match[2] ?? '')))]
    }),
  )
}

/** The first way that leads from a file back to it; empty when there is none. */
function circleOf(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>()
  const visit = (file: string, way: readonly string[]): string[] => {
    if (way.includes(file)) return [...way.slice(way.indexOf(file)), file]
    if (done.has(file)) return []
    for (const next of graph.get(file) ?? []) {
      const circle = visit(next, [...way, file])
      if (circle.length > 0) return circle
    }
    done.add(file)
    return []
  }
  for (const file of graph.keys()) {
    const circle = visit(file, [])
    if (circle.length > 0) return circle
  }
  return []
}

describe('variables', () => {
  test('of a module are none that change: the process inside a sandbox and the layer thread are alone in theirs', () => {
    const alone = /^runtime\/(bootstrap\/|image\/layer-worker\.ts$)/
    const offenders = FILES.filter((file) => PLATFORM.test(file) && !alone.test(file)).filter((file) =>
      /^(export )?(let|var) /m.test(codeOf(file)),
    )
    expect(offenders).toEqual([])
  })
})

describe('files', () => {
  test('none is over 400 lines', () => {
    const long = FILES.map((file) => ({
      file,
      lines: readFileSync(join(ROOT, file), 'utf8').split('\n').length - 1,
    })).filter(({ lines }) => lines > 400)
    expect(long).toEqual([])
  })

  test('each platform file opens with a comment that says what it owns', () => {
    const silent = FILES.filter((file) => PLATFORM.test(file)).filter(
      (file) => !/^(#!.*\n)?\/[/*]/.test(readFileSync(join(ROOT, file), 'utf8')),
    )
    expect(silent).toEqual([])
  })

  test('none is named utils, helpers, common, manager, data or info', () => {
    expect(FILES.filter((file) => /(^|\/)(utils?|helpers?|common|manager|data|info)(\.|\/)/.test(file))).toEqual([])
  })

  test('no test is skipped or alone', () => {
    const self = relative(ROOT, fileURLToPath(import.meta.url))
    const pattern = /\b(it|test|describe)\.(skip|only|todo|skipIf|runIf)\b/
    expect(
      FILES.filter(
        (file) => file.startsWith('test/') && file !== self && pattern.test(readFileSync(join(ROOT, file), 'utf8')),
      ),
    ).toEqual([])
  })
})
