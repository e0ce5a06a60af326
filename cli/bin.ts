// The process behind `fn`: hands arguments, environment and streams to main.ts and ends with its exit status.
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

// Half of a short command's time is reading its own TypeScript; what was read once is kept beside the project.
enableCompileCache(join(import.meta.dirname, '..', '.cache', 'node'))
const { main } = await import('./main.ts')

/** Ends the process when what it prints cannot be written: a reader that has seen enough (`fn logs | head`) is no failure. */
function giveUp(error: NodeJS.ErrnoException): never {
  if (error.code === 'EPIPE') process.exit(0)
  process.stderr.write(`fn: cannot write to standard output: ${error.message}\n`)
  process.exit(1)
}
process.stdout.on('error', giveUp)
const status = await main(process.argv.slice(2), process.env, {
  // Touching it opens it: only verbs that read it may.
  get stdin() {
    return process.stdin
  },
  stdout: process.stdout,
  stderr: process.stderr,
  cwd: process.cwd(),
})
// What was written is out before the end, and no forgotten handle keeps the process.
process.stdout.write('', (error) => (error ? giveUp(error) : process.exit(status)))
