// The process behind `fn`: hands arguments, environment and streams to main.ts and ends with its exit status.
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

// Half of a short command's time is reading its own TypeScript; what was read once is kept beside the project.
enableCompileCache(join(import.meta.dirname, '..', '.cache', 'node'))
const { main } = await import('./main.ts')

// A reader that has seen enough (`fn logs | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})
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
process.stdout.write('', () => process.exit(status))
