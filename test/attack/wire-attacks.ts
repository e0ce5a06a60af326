// Attacks by way of the wire to the platform and of the answer: as data. wire.test.ts has the sandbox say them.
import type { Attack } from './attacks.ts'

/** What the caller gets: 502 in place of an answer, a cut answer, or a good answer. The sandbox is killed in every case. */
export interface ForgedAttack extends Attack {
  /** Names in inside/forged.ts. */
  readonly says: readonly string[]
  readonly caller: '502' | 'cut or 502' | 'answer'
}

const KILLED = 'the sandbox is killed; 502 `FUNCTION_PROTOCOL` (`FUNCTION_CRASHED` where its process ends)'

const forged = (id: string, tries: string, ...says: string[]): ForgedAttack => {
  return { id, family: 'wire', tries, contained: KILLED, says, caller: '502' }
}

export const FORGED_ATTACKS: readonly ForgedAttack[] = [
  forged('forged-bytes', 'send bytes that are no frames, or a frame of 4 GiB', 'garbage', 'huge'),
  forged(
    'forged-types',
    'send frames of unknown types, or those only the platform sends',
    'unknown-type',
    'host-frame',
  ),
  forged(
    'forged-boot',
    'boot or load once more, or hand over a code cache unasked',
    'ready-again',
    'loaded-again',
    'cache-unasked',
  ),
  forged(
    'another-call',
    'answer for another call, for the sandbox itself, for one far away',
    'another-call',
    'call-zero',
    'far-call',
  ),
  forged('disorder', 'send data, the end or rest before a head', 'data-first', 'end-first', 'idle-first'),
  forged('credit', 'give itself credit for a body there is none of', 'credit-unasked'),
  forged(
    'forged-failure',
    'fail with a code that is not its to say, or with no JSON',
    'fail-of-load',
    'fail-unknown',
    'fail-no-json',
  ),
  forged('forged-exit', 'say that it exits, and stay; close its socket, and stay', 'exit-alive', 'closed'),
  forged(
    'forged-lines',
    'print to a third stream, several lines as one, a line above 16 KiB',
    'log-stream',
    'log-lines',
    'log-long',
  ),
  forged('forged-head', 'send heads with unknown flags or lengths that do not fit', 'wrong-flags', 'wrong-length'),
  forged('forged-status', 'answer with status 101, a status that is no number', 'status-switch', 'status-word'),
  forged(
    'response-splitting',
    'split the response: line ends, colons, NUL in status, names and values; a name without a value',
    ...['status-crlf', 'header-crlf', 'header-name', 'header-odd', 'header-nul'],
  ),
  {
    id: 'two-heads',
    family: 'wire',
    tries: 'begin a second answer in the first',
    contained: 'the sandbox is killed, the answer cut or 502; the record says `FUNCTION_PROTOCOL`',
    says: ['two-heads'],
    caller: 'cut or 502',
  },
  {
    id: 'two-answers',
    family: 'wire',
    tries: 'answer twice, speak for a call that is over, or have a child speak that outlives it',
    contained: 'the first answer counts; the sandbox is killed before another call meets it',
    says: ['two-answers', 'late', 'child'],
    caller: 'answer',
  },
]

/** Answers whose framing lies: what comes out is one well-formed response, or a cut connection, and never a second one. */
export interface SmuggledAttack extends Attack {
  readonly says: readonly string[]
}

export const SMUGGLED_ATTACKS: readonly SmuggledAttack[] = [
  {
    id: 'smuggling',
    family: 'wire',
    tries: 'smuggle a second response behind the first: both lengths, two lengths, negative, too short, too long',
    contained:
      'the platform frames the answer itself: one response, or 502, or a connection cut; nothing is left over on it',
    says: ['both-lengths', 'two-lengths', 'bad-length', 'short-length', 'long-length'],
  },
  {
    id: 'hop-by-hop',
    family: 'wire',
    tries:
      'control the connection to the caller: `Connection`, `Keep-Alive`, `Upgrade`, `Trailer` and what `Connection` names',
    contained: 'dropped',
    says: ['hop-by-hop'],
  },
  {
    id: 'platform-headers',
    family: 'wire',
    tries: 'forge the platform’s own headers (`Fn-Invocation-Id`, `Fn-Version`, `Fn-Start`) or widen a service worker',
    contained: 'overwritten or dropped',
    says: ['headers'],
  },
]

export const POISON_ATTACKS: readonly (Attack & { readonly poisons: readonly string[] })[] = [
  {
    id: 'poison',
    family: 'state',
    tries: 'poison the bootstrap: prototypes of arrays, buffers, promises, maps, texts and objects, `process`, globals',
    contained: 'at worst its own calls fail; other functions and the platform do not notice',
    poisons: ['arrays', 'buffers', 'promises', 'maps', 'texts', 'objects', 'globals', 'async'],
  },
  {
    id: 'stolen-handles',
    family: 'state',
    tries: 'steal the bootstrap’s socket from Node’s list of handles and destroy it',
    contained: 'the sandbox ends, and with it that call',
    poisons: ['handles'],
  },
]
