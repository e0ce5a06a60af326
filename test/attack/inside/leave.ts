// What a function may leave behind after its response. Inside a sandbox only.
import { spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'

const MARK = '/tmp/mark'
const IDLE = 'setInterval(() => {}, 1e6)'
let mark = ''

/** Names of commands of the processes there are. */
function commands(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
      } catch {
        return ''
      }
    })
    .filter((command) => command.includes(IDLE))
}

function burn(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

const LEAVINGS: Readonly<Record<string, () => void>> = {
  nothing: () => undefined,
  mark: () => {
    mark = 'left in a variable'
    writeFileSync(MARK, 'left in a file')
  },
  timer: () => {
    setInterval(() => burn(5), 20)
  },
  /** A process that nobody's child is: its parent has ended. */
  orphan: () => {
    spawn('/bin/sh', ['-c', `(${process.execPath} -e '${IDLE}' &) &`], { detached: true, stdio: 'ignore' }).unref()
  },
}

/** Leaves it, and says what it found of those before. */
export async function leave(name: string): Promise<Response> {
  const found = { mark, file: existsSync(MARK), orphans: commands().length }
  LEAVINGS[name]!()
  if (name === 'orphan')
    while (commands().length === found.orphans) await new Promise((resolve) => setTimeout(resolve, 5))
  return Response.json(found)
}
