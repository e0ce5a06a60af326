// Variables of the environment that count only when the process starts: Node and the libraries below it read them once. A function
// that sets one starts from no stem. Pure.

/** Of Node (its manual, "Environment variables"), libuv, OpenSSL, glibc. Those that Node reads when they are used (TZ,
 *  NODE_TLS_REJECT_UNAUTHORIZED, NO_COLOR) are not among them, nor those that only code reads (NODE_ENV). */
const NAMES: ReadonlySet<string> = new Set(
  [
    'NODE_OPTIONS NODE_EXTRA_CA_CERTS NODE_PATH NODE_ICU_DATA NODE_NO_WARNINGS NODE_PENDING_DEPRECATION NODE_DEBUG',
    'NODE_DEBUG_NATIVE NODE_PRESERVE_SYMLINKS NODE_PRESERVE_SYMLINKS_MAIN NODE_REDIRECT_WARNINGS NODE_USE_ENV_PROXY',
    'NODE_USE_SYSTEM_CA NODE_COMPILE_CACHE NODE_DISABLE_COMPILE_CACHE NODE_V8_COVERAGE UV_THREADPOOL_SIZE UV_USE_IO_URING',
    'OPENSSL_CONF OPENSSL_MODULES SSL_CERT_DIR SSL_CERT_FILE LD_LIBRARY_PATH LD_PRELOAD MALLOC_ARENA_MAX GLIBC_TUNABLES',
  ]
    .join(' ')
    .split(' '),
)

/** Flags of NODE_OPTIONS that are the platform's to set, and by what. */
const OURS: readonly (readonly [RegExp, string])[] = [
  [/^--max[-_]old[-_]space[-_]size/, 'the heap follows from limits.memory'],
  [/^--inspect/, 'a sandbox has no debugger port'],
]

/** Those of an environment that have to be there when the process starts. */
export function bootVariables(env: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => NAMES.has(name)))
}

/** Why a function of this environment starts cold; null: it need not. */
export function bootReason(env: Readonly<Record<string, string>>): string | null {
  const names = Object.keys(bootVariables(env))
  return names.length === 0
    ? null
    : `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} read when the process starts`
}

/** What is wrong with NODE_OPTIONS, a sentence each: Node would not start with it. */
export function nodeOptionsProblems(text: string | undefined): string[] {
  return (text ?? '').split(/\s+(?=--?[a-z])/i).flatMap((part) => {
    const flag = part.trim().split(/[=\s]/)[0] ?? ''
    if (flag === '' || !flag.startsWith('-'))
      return flag === '' ? [] : [problem(flag, 'expected options such as --no-warnings')]
    const ours = OURS.find(([pattern]) => pattern.test(flag))
    if (ours !== undefined) return [problem(flag, ours[1])]
    return process.allowedNodeEnvironmentFlags.has(flag) ? [] : [problem(flag, 'Node takes no such option from there')]
  })
}

function problem(flag: string, why: string): string {
  return `env.NODE_OPTIONS: ${flag.slice(0, 80)}: ${why}`
}
