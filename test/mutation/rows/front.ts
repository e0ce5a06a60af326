// Broken lines of what is between a client and a function: who may, what headers say, what a handler is given; and of the command.
import type { Mutant } from '../mutants.ts'

export const FRONT_MUTANTS: readonly Mutant[] = [
  // Access.
  {
    breaks: 'a token that is wrong is nobody’s',
    file: 'gateway/auth/token.ts',
    find: 'timingSafeEqual(digest(token), this.#digest) ? PLATFORM : this.#find(token)',
    replace: 'token.length > 0 ? PLATFORM : this.#find(token)',
    project: 'unit',
    tests: ['gateway/auth'],
  },
  {
    breaks: 'a call needs a scope that it names',
    file: 'gateway/auth/scopes.ts',
    find: "if (needs === 'platform' ? caller.namespace === null : needs.some((scope) => hasScope(caller, scope))) return",
    replace: "if (needs !== 'platform' || caller.namespace === null) return",
    project: 'unit',
    tests: ['gateway/auth'],
  },
  {
    breaks: 'a token’s rate holds',
    file: 'gateway/auth/rate.ts',
    find: 'bucket.take(1, rate, nowMs)',
    replace: 'bucket.take(0, rate, nowMs)',
    project: 'unit',
    tests: ['gateway/auth'],
  },
  {
    breaks: 'encoded dot segments do not lead out of a function',
    file: 'gateway/invocation/target.ts',
    find: "const plain = segment.replace(/%2e/gi, '.')",
    replace: 'const plain = segment',
    project: 'unit',
    tests: ['gateway/invocation'],
  },
  {
    breaks: 'a function cannot widen a service worker',
    file: 'gateway/invocation/response-headers.ts',
    find: "  'service-worker-allowed',\n",
    replace: '',
    project: 'unit',
    tests: ['gateway/invocation'],
  },
  {
    breaks: 'a callback does not reach the cloud’s metadata',
    file: 'runtime/network/addresses.ts',
    find: ' 169.254.0.0/16',
    replace: '',
    project: 'unit',
    tests: ['worker/queue/callbacks'],
  },
  {
    breaks: 'a password is not shown',
    file: 'cli/config.ts',
    find: "url.password = '***'",
    replace: '',
    project: 'unit',
    tests: ['cli/config'],
  },
  {
    breaks: 'a header that comes twice is not half lost',
    file: 'gateway/invocation/call-options.ts',
    find: 'before === undefined ? value :',
    replace: "before !== '' ? value :",
    project: 'unit',
    tests: ['gateway/invocation'],
  },
  {
    breaks: 'bytes that are no text reach a Lambda handler whole',
    file: 'runtime/bootstrap/lambda-event.ts',
    find: 'saysText && (body === null || isUtf8(body))',
    replace: 'saysText',
    project: 'contract',
    tests: ['wire-lambda'],
  },
  // The command.
  {
    breaks: 'the platform has mounts of its own wherever its verb stands',
    file: 'bin/fn',
    find: 'case "$verb" in',
    replace: 'case "$1" in',
    project: 'unit',
    tests: ['bin'],
  },
]
